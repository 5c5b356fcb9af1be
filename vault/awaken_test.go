package vault_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func (l *lockable) agent(t *testing.T) vault.Actor {
	t.Helper()
	a, err := l.Local(t.Context())
	must(t, err)
	return vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name}
}

// leased adds a key and gives a lease of it to who.
func (l *lockable) leased(t *testing.T, who vault.Actor, handle string) vault.Lease {
	t.Helper()
	_, err := l.AddResource(t.Context(), vault.OperatorActor(), vault.NewResource{Kind: "api_key", Handle: handle, Attrs: map[string]string{"service": "openai"}, Secrets: map[string]secret.Secret{"key": secret.FromString("sk-canary-0123456789abcdef")}})
	must(t, err)
	got, err := l.Allocate(t.Context(), who, vault.AllocateRequest{Handle: handle, Purpose: "a test"})
	must(t, err)
	return got.Lease
}

// on record are the events of an action.
func (l *lockable) onRecord(t *testing.T, action audit.Action) (out []audit.Record) {
	t.Helper()
	must(t, l.Noted(t.Context()))
	log, st := l.Audit()
	must(t, st.View(t.Context(), func(tx store.Tx) (err error) {
		out, _, err = log.List(tx, audit.Filter{Action: action, Limit: 500})
		return err
	}))
	return out
}

// awake is unlock, whose Awaken is told of.
func (l *lockable) awake(t *testing.T) error {
	t.Helper()
	k, err := keyring.Unlock(l.header, []age.Identity{l.id})
	must(t, err)
	must(t, l.ring.TakeOver(k))
	l.gate.Wake()
	return l.Awaken(t.Context(), audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultUnlock, Outcome: audit.Allowed})
}

// All that a locked vault keeps is bounded, not only what each keeps; an agent and an operator of one id are two.
func TestALockedVaultKeepsLittleOfAll(t *testing.T) {
	l := newLockable(t)
	l.lock(t)
	first := id.New(id.Agent)
	for n := range 16 {
		who := vault.Actor{Type: audit.Agent, ID: id.New(id.Agent), Name: "x"}
		if n == 0 {
			who.ID = first
		}
		for k := range 64 {
			if n == 15 && k == 63 {
				break
			}
			_, err := l.Release(t.Context(), who, id.New(id.Lease))
			must(t, err)
		}
	}
	_, err := l.Release(t.Context(), vault.Actor{Type: audit.Operator, ID: first, Name: "y"}, id.New(id.Lease)) // the last that there is room for
	must(t, err)
	_, err = l.Release(t.Context(), vault.Actor{Type: audit.Agent, ID: id.New(id.Agent), Name: "z"}, id.New(id.Lease))
	wantCode(t, err, fault.VaultLocked)
}

// What was asked of a locked vault is done once, by who asked; what they may not do is refused then, on record.
func TestWhatWasAskedOfALockedVaultIsDoneOnce(t *testing.T) {
	l := newLockable(t)
	agent := l.agent(t)
	mine, kept := l.leased(t, agent, "one"), l.leased(t, agent, "two")
	l.lock(t)
	stranger := vault.Actor{Type: audit.Agent, ID: id.New(id.Agent), Name: "stranger"}
	for _, r := range []struct {
		who   vault.Actor
		lease string
	}{{agent, mine.ID}, {stranger, kept.ID}} {
		_, err := l.Release(t.Context(), r.who, r.lease)
		must(t, err)
	}
	for range 2 {
		l.unlock(t)
		leases, err := l.Leases(t.Context(), agent)
		if err != nil || len(leases) != 1 || leases[0].ID != kept.ID {
			t.Fatalf("%+v %v", leases, err)
		}
		var allowed, denied int
		for _, r := range l.onRecord(t, audit.LeaseRelease) {
			if r.Outcome == audit.Allowed {
				allowed++
			} else {
				denied += int(max(1, r.Count))
			}
		}
		if allowed != 1 || denied != 1 {
			t.Fatalf("on record: %d allowed, %d denied", allowed, denied)
		}
		l.lock(t)
	}
	l.unlock(t)
}

// The first time that a daemon's vault is awake, what ran under the one before is lost; later a person's own run may be under way, and stays.
func TestOnlyTheFirstAwakeningMarksWhatIsLost(t *testing.T) {
	l := newLockable(t)
	begin := func() string {
		r, _, err := l.StartRun(t.Context(), vault.OperatorActor(), vault.Run{Command: []string{"make"}}, nil)
		must(t, err)
		return r.ID
	}
	states := func() map[string]vault.RunState {
		out := map[string]vault.RunState{}
		rs, err := l.Runs(t.Context(), vault.OperatorActor())
		must(t, err)
		for _, r := range rs {
			out[r.ID] = r.State
		}
		return out
	}
	before := begin()
	l.lock(t)
	l.unlock(t)
	if s, there := states()[before]; there {
		t.Errorf("what ran under the daemon before is %s", s)
	}
	own := begin()
	l.lock(t)
	l.unlock(t)
	if s := states()[own]; s != vault.RunRunning {
		t.Errorf("a person's own run is %q", s)
	}
}

// unwritable refuses writes while it is told to.
type unwritable struct {
	store.Store
	refuse atomic.Bool
}

var errUnwritable = errors.New("it cannot be written")

func (u *unwritable) Update(ctx context.Context, fn func(store.Tx) error) error {
	if u.refuse.Load() {
		return errUnwritable
	}
	return u.Store.Update(ctx, fn)
}

// A vault whose unlocking cannot be recorded does not awake.
func TestAnUnlockingThatIsNotOnRecordIsNone(t *testing.T) {
	u := &unwritable{}
	l := newLockableOn(t, func(st store.Store) store.Store { u.Store = st; return u })
	l.lock(t)
	u.refuse.Store(true)
	if err := l.awake(t); err == nil {
		t.Fatal("it awoke, and nothing of it is on record")
	}
	must(t, l.gate.Shut(t.Context()))
	l.ring.Close()
	u.refuse.Store(false)
	must(t, l.awake(t)) // and once it can be, it does: what could not be written is, with it
	l.gate.Open()
	must(t, l.Noted(t.Context()))
	if n := len(l.onRecord(t, audit.VaultUnlock)); n != 2 {
		t.Errorf("%d unlockings are on record, and two were tried", n)
	}
}

// What proves presence is read under a candidate's keys, before they are anybody's; another vault's keys read nothing, and a store that does not answer is no vault without presence.
func TestPresenceUnderACandidatesKeys(t *testing.T) {
	l := newLockable(t)
	candidate := func() *keyring.Keyring {
		k, err := keyring.Unlock(l.header, []age.Identity{l.id})
		must(t, err)
		t.Cleanup(k.Close)
		return k
	}
	if p, set, err := vault.PresenceUnder(t.Context(), l.st, candidate()); err != nil || set || p.Format != 0 {
		t.Fatalf("none is set: %+v %v %v", p, set, err)
	}
	must(t, l.SetPresence(t.Context(), vault.OperatorActor(), secret.FromString("open sesame, said the person")))
	l.lock(t)
	p, set, err := vault.PresenceUnder(t.Context(), l.st, candidate())
	if err != nil || !set || !p.Check(secret.FromString("open sesame, said the person")) || p.Check(secret.FromString("open sesame")) {
		t.Fatalf("%+v %v %v", p, set, err)
	}
	other, _, err := keyring.Create([]age.Recipient{l.id.(*age.X25519Identity).Recipient()})
	must(t, err)
	defer other.Close()
	if _, set, err := vault.PresenceUnder(t.Context(), l.st, other); err == nil || set {
		t.Errorf("another vault's keys: %v %v", set, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, set, err := vault.PresenceUnder(gone, l.st, candidate()); fault.CodeOf(err) != fault.Canceled || set {
		t.Errorf("a store that does not answer: %v %v", set, err)
	}
}
