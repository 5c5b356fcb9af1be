package vault_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// far is a store that is asked before an Update's turn.
type far struct {
	store.Store
	mu    sync.Mutex
	asked []string
}

func (f *far) Warm(_ context.Context, c store.Collection, keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		f.asked = append(f.asked, string(c)+"/"+k)
	}
}

func (f *far) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// What an addition looks for while all others wait, a store far away is asked for before, through the gate, too. A locked vault asks for nothing.
func TestAHandleIsLookedForBeforeItsTurn(t *testing.T) {
	f := &far{}
	l := newLockableOn(t, func(st store.Store) store.Store { f.Store = st; return f })
	item := func(handle string) vault.NewResource {
		return vault.NewResource{Kind: "generic", Handle: handle, Secrets: map[string]secret.Secret{"value": secret.FromString("a-value-of-its-own")}}
	}
	_, err := l.AddResource(t.Context(), operator, item("one"))
	must(t, err)
	if got := f.take(); !slices.Equal(got, []string{"handles/one"}) {
		t.Errorf("asked for %q", got)
	}
	_, err = l.Import(t.Context(), operator, vault.Import{Items: []vault.NewResource{item("two"), item("three")}})
	must(t, err)
	if got := f.take(); !slices.Equal(got, []string{"handles/two", "handles/three"}) {
		t.Errorf("asked for %q", got)
	}
	must(t, l.gate.Shut(t.Context()))
	if _, err = l.AddResource(t.Context(), operator, item("four")); err == nil {
		t.Error("a locked vault takes a resource")
	}
	if got := f.take(); len(got) > 0 {
		t.Errorf("a locked vault asked for %q", got)
	}
	l.gate.Open()
}
