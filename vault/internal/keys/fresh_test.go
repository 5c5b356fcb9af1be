package keys_test

import (
	"errors"
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

// A fresh key seals nothing before it is named; a key that is removed opens nothing; the one that seals stays.
func TestKeysComeAndGo(t *testing.T) {
	r := keystest.Ring(t)
	old, err := r.Seal(nil, nil, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Fresh()
	if err != nil || !r.Has(fresh) || r.Current() != keystest.ID {
		t.Fatalf("%v, %v seals", err, r.Current())
	}
	if err := r.Remove(keystest.ID); !errors.Is(err, keys.ErrKey) || !r.Has(keystest.ID) {
		t.Errorf("the current key goes: %v", err)
	}
	if err := r.Use(fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(nil, old); err != nil {
		t.Errorf("the former key opens nothing: %v", err)
	}
	if err := r.Remove(keystest.ID); err != nil || r.Has(keystest.ID) {
		t.Fatal(err)
	}
	if err := r.Remove(keystest.ID); err != nil {
		t.Errorf("twice: %v", err)
	}
	if _, err := r.Open(nil, old); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("removed, and it opens: %v", err)
	}
	if _, err := r.Public(keystest.ID); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("removed, and it signs: %v", err)
	}
}
