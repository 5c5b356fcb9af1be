package main

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/unlock"
	"github.com/zavhoz/zavhoz/web/api"
)

// lock is the vault's lock. Every part of the daemon lives on while it is locked, over a store that refuses and a keyring without keys, so that clients, sessions and
// sockets notice nothing but the refusals. Whether the vault is locked is the gate's word.
type lock struct {
	raw  store.Store // beneath the gate: for the header, and for what an unlocking must look at before it is allowed
	gate *vault.Gate

	mu       sync.Mutex // held while it is locked or unlocked
	byPerson bool       // who unlocked it brought what no file holds: the next daemon would not find it
	used     usage
	seen     string // the last lockdown before it was unlocked

	want  secret.Secret // the answer to the challenge of an unlocking
	until time.Time
	asked string // the key that was asked
}

// usage knows when the vault was used last.
type usage struct{ at atomic.Int64 }

func (u *usage) now()                { u.at.Store(time.Now().UnixNano()) }
func (u *usage) idle() time.Duration { return time.Since(time.Unix(0, u.at.Load())) }

// watched counts a tool's calls as use of the vault.
func (u *usage) watched(all []mcp.Tool) []mcp.Tool {
	for i := range all {
		handle, free := all[i].Handle, all[i].Locked
		all[i].Handle = func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			if !free { // a client that polls get_status uses nothing
				u.now()
				defer u.now()
			}
			return handle(ctx, c)
		}
	}
	return all
}

// wrap counts the operator's calls as use, but for what looks at the state.
func (u *usage) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path("status") {
			u.now()
			defer u.now()
		}
		h.ServeHTTP(w, r)
	})
}

// sources are where the keys may come from. ask is nil where nobody is there.
func (d *daemon) sources(ctx context.Context, ask func(string) (secret.Secret, error)) unlock.Options {
	return unlock.Options{
		Order: d.cfg.Unlock.Sources, File: d.dir.Identity(), Credentials: d.o.credentials, Keyring: systemKeyring{}, Plugins: plugins{ctx: ctx, person: ask != nil}, Ask: ask,
	}
}

// start unlocks the vault at the daemon's start, or leaves it locked: where it was locked before, where --locked says so, and where only a person can.
func (d *daemon) start(ctx context.Context) error {
	from := d.sources(ctx, d.o.ask)
	if d.wasLocked() { // a person who is there unlocks it; what needs none does not
		from.Order = slices.DeleteFunc(slices.Clone(from.Order), func(s string) bool { return d.o.ask == nil || s != home.FromPassphrase })
	}
	if d.o.locked || len(from.Order) == 0 {
		d.log.Info("the vault is locked", "why", "it was locked before, or by --locked")
		return nil
	}
	header, err := vault.Header(ctx, d.lock.raw)
	if err != nil {
		return err
	}
	k, by, err := from.Unlock(ctx, header)
	if fault.CodeOf(err) == fault.VaultLocked {
		d.log.Info("the vault is locked", "why", "a person unlocks it", "cause", fault.Cause(err))
		return nil
	}
	if err != nil {
		return err
	}
	err = d.awaken(ctx, k, by, audit.Event{Actor: vault.SystemActor("start"), Action: audit.VaultOpen, Outcome: audit.Allowed})
	if errors.Is(err, errLockedMeanwhile) {
		d.log.Info("the vault is locked", "why", "a person locked it at another daemon since this home had it open")
		return d.markLocked()
	}
	if err != nil {
		return err
	}
	d.markUnlocked()
	return nil
}

// awaken puts the keys to their places. Nothing is answered before all records were checked; where they do not hold, the vault is locked again.
func (d *daemon) awaken(ctx context.Context, k *keyring.Keyring, by string, e audit.Event) error {
	if err := d.ring.TakeOver(k); err != nil {
		return err
	}
	d.lock.gate.Wake()
	err := d.recognise(ctx)
	if err == nil {
		d.lock.seen, err = d.vault.Lockdown(ctx)
	}
	if err == nil && e.Actor.Type == audit.System {
		err = d.mayStart(d.lock.seen, by)
	}
	if err == nil {
		err = d.vault.Awaken(ctx, e)
	}
	if err == nil {
		err = d.remember(ctx)
	}
	if err != nil {
		d.forget()
		return err
	}
	d.lock.gate.Open()
	d.lock.used.now()
	d.lock.byPerson = by == home.FromPassphrase || by == fromIdentity
	if err := d.engine.Wake(ctx); err != nil {
		d.forget()
		return err
	}
	d.keys.Wake()
	d.files.Wake()
	d.sync.Wake()
	return nil
}

// errLockedMeanwhile says that nobody but a person opens the vault here.
var errLockedMeanwhile = errors.New("zavhoz: locked at another daemon")

// mayStart refuses to open the vault by itself where a person locked it, for every daemon, while this home's was not running.
func (d *daemon) mayStart(last, by string) error {
	if !d.shares() || by == home.FromPassphrase {
		return nil
	}
	k, err := readKnown(d.dir)
	if err != nil { // the first vault of this home; what cannot be read, recognise has refused
		return nil //nolint:nilerr
	}
	if k.Lockdown != last {
		return errLockedMeanwhile
	}
	return nil
}

// fromIdentity says that a person brought an identity file.
const fromIdentity = "identity"

// forget shuts the gate and wipes the keys. A transaction that does not end is not waited for without end: the keys go.
func (d *daemon) forget() {
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if err := d.lock.gate.Shut(grace); err != nil {
		d.log.Error("a transaction did not end in time", "cause", fault.Cause(err))
	}
	d.lock.unask()
	d.ring.Close()
	d.files.Forget()
	d.engine.Forget()
}

// unask forgets the challenge of an unlocking: another key may prove presence by the next one.
func (l *lock) unask() {
	l.want.Wipe()
	l.want, l.asked = secret.Secret{}, ""
}

// vaultLock gives the API the vault's lock.
type vaultLock struct{ d *daemon }

// Lock ends what runs and wipes the keys. It always works; what could not be recorded of it is in the log.
func (v vaultLock) Lock(ctx context.Context, actor vault.Actor) (api.Lock, error) {
	runs, told := v.d.lockUp(context.WithoutCancel(ctx), actor, lockAsked)
	return api.Lock{Locked: true, Runs: runs, Untold: !told}, nil
}

// lockAsked is why a person's lock is: it holds for every daemon of the vault.
const lockAsked = "asked"

// lockUp locks the vault and gives how many runs it ended, and whether every other daemon of the vault is told, where a person asked.
func (d *daemon) lockUp(ctx context.Context, actor vault.Actor, why string) (runs int, told bool) {
	d.lock.mu.Lock()
	defer d.lock.mu.Unlock()
	return d.lockHeld(ctx, actor, why)
}

// lockHeld is lockUp under lock.mu.
func (d *daemon) lockHeld(ctx context.Context, actor vault.Actor, why string) (runs int, told bool) {
	if err := d.markLocked(); err != nil {
		d.log.Error("that the vault is locked could not be kept for the next daemon", "cause", fault.Cause(err))
	}
	everywhere := why == lockAsked && d.shares()
	if d.lock.gate.IsShut() {
		return 0, !everywhere // without keys nobody is told anything
	}
	grace, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	e := audit.Event{Actor: actor, Action: audit.VaultLock, Outcome: audit.Allowed, Detail: map[string]string{"why": why}}
	telling := make(chan error, 1)
	if everywhere { // beside all else: a database that does not answer keeps no run alive
		go func() { telling <- d.vault.LockEverywhere(grace, e) }()
	}
	if rs, err := d.vault.Runs(grace, vault.OperatorActor()); err == nil {
		runs = len(rs)
	}
	if err := d.engine.Sleep(grace); err != nil {
		d.log.Error("runs did not end in time", "cause", fault.Cause(err))
	}
	d.withdraw(grace)
	var err error
	if everywhere {
		select {
		case err = <-telling:
		case <-grace.Done():
			err = vault.StoreFault(grace.Err())
		}
	} else {
		err = d.vault.Note(grace, e)
	}
	told = err == nil || !everywhere
	if err == nil {
		err = d.vault.Noted(grace)
	}
	d.leave(grace)
	switch {
	case !told:
		d.log.Error("the other daemons of the vault could not be told that it is locked: lock it at one that is open", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	case err != nil:
		d.log.Error("that the vault is locked could not be recorded", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
	d.forget()
	giveBack()
	d.lock.byPerson = false
	d.log.Info("locked", "why", why, "runs", runs)
	return runs, told
}

// Unlock opens the vault with what a person brought, or with what the daemon finds. Presence is checked under the keys, which are wiped again where it is missing;
// proven says that it was checked and is there. On an open vault nothing is looked at, so nothing is proven. The vault's own passphrase needs no proof besides, but
// one that comes with it is checked: nobody is told that a wrong word was right.
func (v vaultLock) Unlock(ctx context.Context, actor vault.Actor, in api.Unlock) (out api.Lock, proven bool, err error) {
	d := v.d
	d.lock.mu.Lock()
	defer d.lock.mu.Unlock()
	if !d.lock.gate.IsShut() {
		return api.Lock{}, false, nil
	}
	defer giveBack() // of what was brought, copies lie there
	k, by, err := d.candidate(ctx, in)
	if err != nil {
		return api.Lock{}, false, d.notUnlocked(ctx, actor, by, err)
	}
	defer k.Close() // empty by then, where it was taken over
	if by != home.FromPassphrase || !in.Presence.IsZero() || !in.Answer.IsZero() {
		if proven, err = d.presentUnder(ctx, k, in); err != nil {
			return api.Lock{}, false, d.notUnlocked(ctx, actor, by, err)
		}
	}
	e := audit.Event{Actor: actor, Action: audit.VaultUnlock, Outcome: audit.Allowed, Detail: map[string]string{"by": by}}
	if err := d.awaken(context.WithoutCancel(ctx), k, by, e); err != nil {
		return api.Lock{}, false, err
	}
	d.lock.unask()
	d.markUnlocked()
	d.log.Info("unlocked", "by", by)
	return api.Lock{By: by}, proven, nil
}

// presentUnder asks for the operator's presence, by what the candidate's keys say proves it. proven is false where nothing does.
func (d *daemon) presentUnder(ctx context.Context, k *keyring.Keyring, in api.Unlock) (proven bool, err error) {
	p, set, err := vault.PresenceUnder(ctx, d.lock.raw, k)
	switch {
	case err != nil || !set:
		return false, err
	case p.By == "" && !in.Presence.IsZero() && p.Check(in.Presence.Secret):
		return true, nil
	case p.By == "":
		return false, fault.New(fault.PresenceRequired, "unlocking needs the operator's passphrase", "run `zavhoz unlock` on a terminal of your own, where zavhoz can ask for it")
	case !in.Answer.IsZero() && d.lock.asked == p.Key() && time.Now().Before(d.lock.until) && keyring.Answers(in.Answer.Secret, d.lock.want):
		d.lock.unask()
		return true, nil
	}
	file, want, err := p.Challenge(plugins{ctx: ctx}, k.VaultID(), keyring.ToUnlock)
	if err != nil {
		return false, err
	}
	d.lock.unask()
	d.lock.want, d.lock.asked, d.lock.until = want, p.Key(), time.Now().Add(challengeLife)
	return false, fault.New(fault.PresenceRequired, "unlocking needs the operator's presence, by the "+p.By, "run `zavhoz unlock` on a terminal of your own").
		With("challenge", base64.StdEncoding.EncodeToString(file)).With("by", p.By).With("identity", p.Identity).With("vault_id", k.VaultID())
}

// challengeLife is how long an unlocking waits for the operator's key.
const challengeLife = 3 * time.Minute

// candidate gives the vault's keys, which nothing uses yet.
func (d *daemon) candidate(ctx context.Context, in api.Unlock) (k *keyring.Keyring, by string, err error) {
	header, err := vault.Header(ctx, d.lock.raw)
	if err != nil {
		return nil, "", err
	}
	given := unlock.Given{Passphrase: in.Passphrase.Secret, Identity: in.Identity.Secret, Word: in.Word.Secret, Slot: in.Slot, FileKeys: fileKeys(in.FileKeys)}
	defer func() {
		for _, k := range given.FileKeys {
			k.Wipe()
		}
	}()
	if given.IsZero() {
		return d.sources(ctx, nil).Unlock(ctx, header)
	}
	by = fromIdentity
	if !in.Passphrase.IsZero() {
		by = home.FromPassphrase
	}
	k, err = given.Unlock(header, plugins{ctx: ctx})
	return k, by, err
}

// notUnlocked records a refusal, which waits for the keys as the vault does.
func (d *daemon) notUnlocked(ctx context.Context, actor vault.Actor, by string, err error) error {
	if fault.CodeOf(err) == fault.VaultLocked { // nothing was tried: a person is asked now
		return err
	}
	e := audit.Event{Actor: actor, Action: audit.VaultUnlock, Outcome: audit.Denied, Code: string(fault.CodeOf(err)), Detail: map[string]string{"by": by}}
	_ = d.vault.Note(ctx, e) // full: the log has it
	d.log.Warn("not unlocked", "by", by, "code", e.Code, "cause", fault.Cause(err))
	return err
}

// markLocked keeps for the next daemon that the vault is locked: whoever locked it did not mean until then. It is no wall: who may remove the mark may read
// identity.txt, too.
func (d *daemon) markLocked() error {
	f, err := os.OpenFile(d.dir.Locked(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d *daemon) markUnlocked() {
	if err := os.Remove(d.dir.Locked()); err != nil && !os.IsNotExist(err) {
		d.log.Error("the mark that the vault is locked could not be removed", "cause", fault.Cause(err))
	}
}

func (d *daemon) wasLocked() bool {
	_, err := os.Lstat(d.dir.Locked())
	return err == nil
}

// byPerson tells whether the keys are of what a person brought.
func (d *daemon) byPerson() bool {
	d.lock.mu.Lock()
	defer d.lock.mu.Unlock()
	return d.lock.byPerson
}

// lockWhenIdle locks the vault when it has not been used for long enough and nothing runs.
func (d *daemon) lockWhenIdle(ctx context.Context, after time.Duration) {
	tick := time.NewTicker(min(max(after/10, 50*time.Millisecond), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case d.lock.gate.IsShut():
		case d.engine.Busy():
			d.lock.used.now()
		case d.lock.used.idle() >= after:
			d.lockUp(ctx, vault.SystemActor("idle"), "idle")
		}
	}
}
