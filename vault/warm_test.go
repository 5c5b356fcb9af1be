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

// What an addition or an edit looks for while all others wait, a store far away is asked for before, through the gate, too. A locked vault asks for nothing.
func TestWhatAWriteReadsIsLookedForBeforeItsTurn(t *testing.T) {
	f := &far{}
	l := newLockableOn(t, func(st store.Store) store.Store { f.Store = st; return f })
	item := func(handle string) vault.NewResource {
		return vault.NewResource{Kind: "generic", Handle: handle, Secrets: map[string]secret.Secret{"value": secret.FromString("a-value-of-its-own")}}
	}
	r, err := l.AddResource(t.Context(), operator, item("one"))
	must(t, err)
	if got := f.take(); !slices.Equal(got, []string{"handles/one"}) {
		t.Errorf("asked for %q", got)
	}
	_, err = l.Import(t.Context(), operator, vault.Import{Items: []vault.NewResource{item("two"), item("three")}})
	must(t, err)
	if got := f.take(); !slices.Equal(got, []string{"handles/two", "handles/three"}) {
		t.Errorf("asked for %q", got)
	}
	why := "again"
	for i := range 11 {
		_, err = l.EditResource(t.Context(), operator, "one", vault.Edit{Why: why})
		must(t, err)
		want := []string{"handles/one", "resources/" + r.ID, "rotations/" + r.ID, "counters/" + r.ID}
		if i == 10 { // ten versions are kept: the eleventh edit takes the first away
			want = append(want, "versions/"+r.ID+"/0000000000000001")
		}
		if got := f.take(); !slices.Equal(got, want) {
			t.Errorf("asked for %q", got)
		}
	}
	_, err = l.EditResource(t.Context(), operator, "nobody", vault.Edit{Why: why})
	if got := f.take(); err == nil || !slices.Equal(got, []string{"handles/nobody"}) {
		t.Errorf("%v: asked for %q", err, got)
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
