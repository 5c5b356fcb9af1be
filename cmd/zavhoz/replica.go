package main

import (
	"bytes"
	"context"
	"os"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/web/api"
)

// keyLinger is how long a former data key stays in memory after it left the header.
const keyLinger = 5 * time.Minute

// shares tells whether other daemons may serve the same vault.
func (d *daemon) shares() bool {
	_, is := d.lock.raw.(leader)
	return is
}

// replica is what this process is called among the daemons of its vault; zero where it is the only one.
func (d *daemon) replica() vault.Replica {
	if !d.shares() {
		return vault.Replica{}
	}
	host, _ := os.Hostname()
	return vault.NewReplica(host, os.Getpid(), version(), time.Now())
}

// replicas lists the daemons that have the vault open.
func (d *daemon) replicas(ctx context.Context) (out []api.Replica, err error) {
	all, err := d.vault.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	leads := d.leading(ctx)
	for _, r := range all {
		out = append(out, api.Replica{ID: r.ID, Host: r.Host, PID: r.PID, Version: r.Version, StartedAt: r.StartedAt, Self: r.ID == d.vault.Self().ID, Leads: r.ID == leads})
	}
	return out, nil
}

// leading tells which daemon leads, "" where it is not known: a status does without.
func (d *daemon) leading(ctx context.Context) string {
	self := d.vault.Self().ID
	if d.leads.is.Load() {
		return self
	}
	l, shared := d.lock.raw.(leader)
	if !shared {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	who, err := l.Leader(ctx, clock)
	if err != nil || who == self { // it leads no more, or not yet
		return ""
	}
	return who
}

// following is what this daemon does where another replaced the data key.
type following struct {
	mu     sync.Mutex
	cannot []byte // the header whose key it found no identity for
	lost   chan struct{}
	locked chan struct{} // a person locked the vault at some daemon
}

func newFollowing() following {
	return following{lost: make(chan struct{}, 1), locked: make(chan struct{}, 1)}
}

// followKeys gets the data key that another daemon made, from where it gets its keys without a person, and takes it if the present one handed over to it: a header is wrapped for public
// keys, so who writes the database can make one with a key of theirs. Where it finds none, the vault is locked here.
func (d *daemon) followKeys(ctx context.Context) error {
	d.follow.mu.Lock()
	defer d.follow.mu.Unlock()
	header, err := vault.Header(ctx, d.lock.raw)
	if err != nil {
		return vault.StoreFault(err)
	}
	if bytes.Equal(header, d.follow.cannot) {
		return vault.ErrLocked()
	}
	k, _, err := d.sources(ctx, nil).Unlock(ctx, header)
	if err == nil {
		err = d.gain(ctx, k)
	}
	if err == nil {
		d.log.Info("another daemon replaced the data key: this one has it now")
		d.keys.Wake()
		return nil
	}
	if ctx.Err() != nil {
		return vault.StoreFault(ctx.Err())
	}
	switch fault.CodeOf(err) {
	case fault.DaemonUnavailable, fault.TimedOut, fault.Canceled, fault.Busy: // it may be different in a moment: whoever comes next tries again
		return err
	}
	d.follow.cannot = header
	d.log.Warn("another daemon replaced the data key, and this one does not come to the new one: it locks the vault", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	select {
	case d.follow.lost <- struct{}{}:
	default: // it is being locked
	}
	return vault.ErrLocked()
}

// gain takes the keys of k, if the audit key of this moment handed over to that of k.
func (d *daemon) gain(ctx context.Context, k *keyring.Keyring) error {
	defer k.Close()
	noted, err := d.ring.PublicKey()
	if err != nil {
		return err
	}
	log := audit.New(record.NewBook(k), k, audit.Options{Writer: "main", Clock: time.Now})
	succeeds := false
	err = d.lock.raw.View(ctx, func(tx store.Tx) (err error) {
		succeeds, err = log.Succeeds(tx, noted)
		return err
	})
	switch {
	case err != nil:
		return vault.StoreFault(err)
	case !succeeds:
		return fault.New(fault.RecordTampered, "the vault's header names a data key that the present one did not hand over to", "find out who wrote to the database; restore a backup")
	}
	return d.ring.Gain(k)
}

// live says that this daemon lives, for as long as it has the vault open.
func (d *daemon) live(ctx context.Context) {
	if !d.shares() {
		return
	}
	tick := time.NewTicker(vault.BeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		limit, cancel := context.WithTimeout(ctx, vault.BeatEvery)
		err := d.vault.Beat(limit)
		cancel()
		if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.VaultLocked {
			d.log.Warn("the other daemons of the vault could not be told that this one lives", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
		d.settingsChanged() // a notice may have come while the database did not answer
		d.ring.Prune(keyLinger)
	}
}

// callRoll looks for daemons that fell silent, and ends the records of what they ran, until ctx ends: the leader does.
func (d *daemon) callRoll(ctx context.Context) {
	roll := d.vault.NewRoll(nil)
	tick := time.NewTicker(vault.BeatEvery)
	defer tick.Stop()
	for {
		lost, err := roll.Call(ctx)
		if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.VaultLocked {
			d.log.Warn("whether all daemons of the vault live could not be told", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
		if lost > 0 {
			d.log.Warn("runs of a daemon that is gone were marked as lost", "runs", lost)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// leave takes this daemon off the list: nothing of its runs is under way. Where that fails, its silence tells.
func (d *daemon) leave(ctx context.Context) {
	if err := d.vault.Leave(ctx); err != nil && fault.CodeOf(err) != fault.VaultLocked {
		d.log.Warn("the other daemons of the vault could not be told that this one ends", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
}

// obey locks the vault here where another daemon's change asks for it, until ctx ends.
func (d *daemon) obey(ctx context.Context) {
	if !d.shares() {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.follow.lost:
			d.lockUp(context.WithoutCancel(ctx), vault.SystemActor("key"), "key")
		case <-d.follow.locked:
			last, err := d.vault.Lockdown(ctx)
			code := fault.CodeOf(err)
			d.lock.mu.Lock()                                                                                     // nobody unlocks it between the look and the lock
			if code == fault.RecordTampered || code == fault.VaultCorrupt || err == nil && last != d.lock.seen { // what cannot be believed may have said so
				d.lockHeld(context.WithoutCancel(ctx), vault.SystemActor("lock"), "elsewhere")
			}
			d.lock.mu.Unlock()
		}
	}
}

// settingsChanged has the settings looked at for a lock.
func (d *daemon) settingsChanged() {
	select {
	case d.follow.locked <- struct{}{}:
	default:
	}
}
