package rekey_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// gated holds its first update back until it may go.
type gated struct {
	store.Store
	once       sync.Once
	begun, go_ chan struct{}
}

func (g *gated) Update(ctx context.Context, fn func(store.Tx) error) error {
	g.once.Do(func() {
		close(g.begun)
		<-g.go_
	})
	return g.Store.Update(ctx, fn)
}

// Whatever commit of a rotation is the last that a process makes, the file it leaves opens by the identity, holds every value, and the next process brings the rotation
// to its end. The copy of the file at that moment is a backup that does the same.
func TestAProcessEndsAfterEachCommit(t *testing.T) {
	for n, finished := 0, false; !finished; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newHouse(t)
			h.furnish(12)
			before, old := h.values(), h.k.Current()
			h.disk.left.Store(int64(n))
			stop := h.runs()
			_, err := h.Rotate(ctx, operator, nil)
			for err == nil && !finished {
				p, perr := h.Progress(ctx)
				must(t, perr)
				if finished = !p.Running; p.Problem != nil {
					break
				}
			}
			stop()
			backup := h.in.Path + ".backup"
			h.copyFiles(backup)
			h.restart()
			if err != nil && h.k.Current() != old {
				t.Error("a rotation that failed left its key")
			}
			if !maps.Equal(before, h.values()) {
				t.Error("values changed")
			}
			defer h.runs()()
			h.settle()
			if !maps.Equal(before, h.values()) {
				t.Error("values changed when it went on")
			}
			must(t, h.Verify(ctx))
			if key := h.k.Current(); err == nil && (key == old || len(h.traces(old)) > 0) {
				t.Errorf("%v under the former key", h.traces(old))
			}

			other := h.houseIn(backup)
			defer other.in.Leave()
			defer other.runs()()
			other.settle()
			if !maps.Equal(before, other.values()) {
				t.Error("values of the backup changed")
			}
		})
		if t.Failed() || n > 100 {
			break
		}
	}
}

// On a full disk a rotation waits, says why, and goes on when there is room.
func TestARotationWaitsForRoom(t *testing.T) {
	h := newHouse(t)
	h.furnish(20)
	before := h.values()
	h.disk.full.Store(true)
	_, err := h.Rotate(ctx, operator, nil)
	wantCode(t, err, fault.Internal)
	h.disk.full.Store(false)
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.disk.full.Store(true)
	stop := h.runs()
	defer stop()
	var p rekey.Progress
	for p.Problem == nil {
		p, err = h.Progress(ctx)
		must(t, err)
	}
	if _, err := h.Rotate(ctx, operator, nil); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("a second rotation: %v", err)
	}
	h.disk.full.Store(false)
	h.settle()
	if !maps.Equal(before, h.values()) {
		t.Error("values changed")
	}
}

// Reads, writes and rollbacks go on while rotation follows rotation and slots come and go.
func TestWorkGoesOnWhileItRotates(t *testing.T) {
	h := newHouse(t)
	h.rows = 64
	h.restart()
	h.furnish(30)
	stop := h.runs()
	end := make(chan struct{})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			handle := fmt.Sprintf("work_%d", w)
			h.add(handle, "0")
			for i := 1; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				want := fmt.Sprint(i)
				h.edit(handle, want)
				if i%5 == 0 {
					r, err := h.Resource(ctx, handle)
					must(t, err)
					_, err = h.RollbackResource(ctx, operator, handle, r.Version-1, "")
					must(t, err)
					want = fmt.Sprint(i - 1)
				}
				r, err := h.Resource(ctx, handle)
				must(t, err)
				s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
				if err != nil || string(s.Reveal()) != want {
					t.Errorf("%s: %v", handle, err)
					return
				}
				_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("%s_%d", handle, i), Secrets: map[string]secret.Secret{"value": secret.FromString(want)}})
				must(t, err)
			}
		})
	}
	for i := range 4 {
		guest, err := age.GenerateX25519Identity()
		must(t, err)
		_, err = h.Rotate(ctx, operator, nil)
		must(t, err)
		s, err := h.Add(ctx, operator, rekey.NewSlot{Recipient: guest.Recipient().String(), Label: fmt.Sprint("guest ", i)})
		if fault.CodeOf(err) != fault.VersionConflict { // the rotation ended meanwhile
			must(t, err)
			k, err := keyring.Unlock(h.header(), []age.Identity{guest})
			must(t, err)
			k.Close()
			_, err = h.Remove(ctx, operator, s.ID, false)
			must(t, err)
		}
		h.settle()
	}
	close(end)
	all.Wait()
	time.Sleep(10 * time.Millisecond) // the former key leaves memory
	stop()
	h.values()
	must(t, h.Verify(ctx))
	h.restart()
	h.values()
}

// A commit whose word is lost may have happened. Where it can be seen, the new key seals; where it cannot, nothing seals under a key that may not be there, until it is
// seen.
func TestACommitThatIsNotHeardOf(t *testing.T) {
	for name, dark := range map[string]int64{"it is seen": 0, "it is not seen at once": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.furnish(5)
			before, old := h.values(), h.k.Current()
			must(t, h.Noted(ctx)) // what is queued would take the place of the commit that is meant
			h.disk.deaf.Store(1)
			h.disk.dark.Store(dark)
			_, err := h.Rotate(ctx, operator, nil)
			if seen := dark == 0; (err == nil) != seen || (h.k.Current() != old) != seen {
				t.Fatalf("%v, it seals under %s", err, h.k.Current())
			}
			h.add("between", "the two")
			defer h.runs()()
			h.settle()
			if h.k.Current() == old || len(h.traces(old)) > 0 {
				t.Errorf("%s seals, the former is in %v", h.k.Current(), h.traces(old))
			}
			after := h.values()
			for ref, v := range before {
				if after[ref] != v {
					t.Errorf("%+v changed", ref)
				}
			}
		})
	}
}
