package vault_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
)

// beside opens the vault once more, as another daemon does.
func (l *lockable) beside(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), vault.Options{Store: l.gate, Keyring: l.ring, Opener: open.New(l.ring), Replica: vault.NewReplica("host", 1, "v1", time.Now())})
	must(t, err)
	t.Cleanup(func() { _ = v.Close(t.Context()) })
	return v
}

func state(t *testing.T, v *vault.Vault, run string) vault.RunState {
	t.Helper()
	r, err := v.GetRun(t.Context(), vault.OperatorActor(), run)
	must(t, err)
	return r.State
}

// TestRunsOfADaemonThatFellSilent: only they are lost, only after a time in which the listener heard others, and what their daemon says of them afterwards counts.
func TestRunsOfADaemonThatFellSilent(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	a, b := l.beside(t), l.beside(t)
	must(t, errors.Join(a.Join(ctx), b.Join(ctx)))
	start := func(v *vault.Vault) vault.Run {
		t.Helper()
		r, _, err := v.StartRun(ctx, vault.OperatorActor(), vault.Run{Isolation: "sealed"}, nil)
		must(t, err)
		if r.Owner != v.Self().ID {
			t.Fatalf("the owner is %q", r.Owner)
		}
		return r
	}
	ofA, ofB, old := start(a), start(b), start(l.Vault)
	now := time.Now()
	roll := b.NewRoll(func() time.Time { return now })
	call := func(want int) {
		t.Helper()
		lost, err := roll.Call(ctx)
		must(t, err)
		if lost != want {
			t.Fatalf("%d runs are lost, want %d", lost, want)
		}
	}
	beat := func() { t.Helper(); must(t, b.Beat(ctx)) }
	call(0)
	beat()
	call(1) // of no daemon that is there, still
	if state(t, b, old.ID) != vault.RunLost {
		t.Error("a run of nobody is not lost")
	}
	now = now.Add(vault.SilentAfter - time.Second)
	beat()
	call(0)
	must(t, l.gate.Shut(ctx))
	if _, err := roll.Call(ctx); err == nil {
		t.Fatal("nobody could be heard, and all is well")
	}
	l.gate.Open()
	now = now.Add(2 * time.Second) // the silence began anew
	beat()
	call(0)
	now = now.Add(vault.SilentAfter) // nobody's beat was taken, not even the listener's
	call(0)
	beat()
	call(0)
	now = now.Add(vault.SilentAfter)
	beat()
	call(0) // taken off the list
	beat()
	call(0)
	beat()
	call(1)
	if state(t, b, ofA.ID) != vault.RunLost || state(t, b, ofB.ID) != vault.RunRunning {
		t.Errorf("%s, %s", state(t, b, ofA.ID), state(t, b, ofB.ID))
	}
	ofA.State = vault.RunExited
	must(t, a.EndRun(ctx, ofA))
	must(t, a.Beat(ctx))
	call(0)
	all, err := b.Replicas(ctx)
	must(t, err)
	if state(t, b, ofA.ID) != vault.RunExited || len(all) != 2 {
		t.Errorf("%s, %v", state(t, b, ofA.ID), all)
	}
	must(t, a.Leave(ctx))
	if all, err = b.Replicas(ctx); err != nil || len(all) != 1 || all[0].ID != b.Self().ID {
		t.Errorf("%v, %v", all, err)
	}
}

// TestLockEverywhere: each lock has another id.
func TestLockEverywhere(t *testing.T) {
	l := newLockable(t)
	seen := map[string]bool{}
	for range 3 {
		id, err := l.Lockdown(t.Context())
		must(t, err)
		if seen[id] {
			t.Errorf("%q again", id)
		}
		seen[id] = true
		must(t, l.LockEverywhere(t.Context(), audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultLock, Outcome: audit.Allowed}))
	}
}

// TestAttack72_AKeyThatAnotherDaemonMade: from the moment that a header names another data key nothing is sealed under the former one, not even by who was asleep; an earlier header, or one that the keys do not vouch for, stops writes.
func TestAttack72_AKeyThatAnotherDaemonMade(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	put := func(header []byte) {
		t.Helper()
		must(t, l.st.Update(ctx, func(tx store.Tx) error { return keyring.Save(tx, header) }))
	}
	put(l.header)
	other, err := keyring.Unlock(l.header, []age.Identity{l.id})
	must(t, err)
	defer other.Close()
	moved := 0
	l.gate.Follow(l.ring, func(ctx context.Context) error {
		moved++
		h, err := vault.Header(ctx, l.st)
		if err != nil {
			return err
		}
		k, err := keyring.Unlock(h, []age.Identity{l.id})
		if err != nil {
			return err
		}
		return l.ring.Gain(k)
	})
	lock := audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultLock, Outcome: audit.Allowed}
	first := l.ring.Current()
	must(t, l.LockEverywhere(ctx, lock))
	next, key, err := other.BeginRotation(l.header, time.Now(), func(s keyring.Slot) (age.Recipient, error) { return keyring.ParseRecipient(s.Recipient, nil) })
	must(t, err)
	put(next)
	must(t, l.LockEverywhere(ctx, lock))
	if moved != 1 || l.ring.Current() != key || key == first {
		t.Fatalf("moved %d times, to %s", moved, l.ring.Current())
	}
	put(l.header)
	if _, err := l.Lockdown(ctx); err != nil {
		t.Errorf("a View of an earlier moment: %v", err)
	}
	if err := l.LockEverywhere(ctx, lock); err == nil {
		t.Error("a header that goes back is written over")
	}
	put(next)
	must(t, l.LockEverywhere(ctx, lock))
	_, stranger, err := keyring.Create([]age.Recipient{l.id.(*age.X25519Identity).Recipient()})
	must(t, err)
	put(stranger)
	if _, err := l.Lockdown(ctx); err == nil {
		t.Error("another vault's header is gone by")
	}
}

// TestAttack72_NobodySealsUnderAKeyThatIsNotDurable: while the header is changed no other write of the process runs, which would see it, and go by it, before it is durable.
func TestAttack72_NobodySealsUnderAKeyThatIsNotDurable(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	must(t, l.st.Update(ctx, func(tx store.Tx) error { return keyring.Save(tx, l.header) }))
	l.gate.Follow(l.ring, func(context.Context) error { return errors.New("moved") })
	in, on, ran := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	changed := make(chan error, 1)
	go func() {
		inside := sync.OnceFunc(func() { close(in) })
		changed <- l.gate.UpdateAlone(ctx, func(tx store.Tx) error {
			inside()
			<-on
			return tx.Put("other", "a", nil)
		})
	}()
	<-in
	go func() { ran <- l.gate.Update(ctx, func(tx store.Tx) error { return tx.Put("other", "b", nil) }) }()
	select {
	case err := <-ran:
		t.Errorf("a write ran beside: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(on)
	must(t, errors.Join(<-changed, <-ran))
}

// TestAHeaderThatIsThereAgain: a slot that was added and removed leaves the header as it was, which is no damage.
func TestAHeaderThatIsThereAgain(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	l.gate.Follow(l.ring, func(context.Context) error { return errors.New("moved") })
	guest, err := age.GenerateX25519Identity()
	must(t, err)
	more, s, err := l.ring.AddSlot(l.header, guest.Recipient(), "guest", time.Now())
	must(t, err)
	less, _, err := l.ring.RemoveSlot(more, s.ID)
	must(t, err)
	for _, header := range [][]byte{l.header, more, less, more, l.header} {
		must(t, l.st.Update(ctx, func(tx store.Tx) error { return keyring.Save(tx, header) }))
		must(t, l.gate.Update(ctx, func(tx store.Tx) error { return tx.Put("other", "a", nil) }))
	}
}
