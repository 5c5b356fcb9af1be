// Package rekey changes who can open a vault and under which data key it is sealed: slots come and go, and a rotation seals everything anew while the vault
// is used.
//
// Promise: adding or removing a slot rewraps data keys and touches nothing else. A rotation makes a new data key that seals from the moment on at which it is
// durable; a background job then seals every field anew and authenticates every record anew, in small transactions that remember how far they came, so that it goes
// on where it was after any crash. The former key leaves the header in the same transaction that finds nothing under it, and not before: no value is ever left under
// a key that is gone, and none that was written since opens with the former.
//
// Attacks stopped: a recipient who left, or whose identity was stolen, opens what is written after (threat-model.md 66, 72), once their slot is removed and the key
// rotated; a slot slipped into the header, by its MAC; a rotation steered by an edited state, which is a record like any other.
//
// What it cannot do: take back what somebody read before. Values that were there before a rotation were under the former key, and copies of the file (backups, and
// pages of it that are not written over yet) still hold them so: who had the key and a copy has those values. Rotate the values themselves, too.
package rekey

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Options are what a Keeper is made with.
type Options struct {
	Vault   *vault.Vault
	Keyring *keyring.Keyring
	Opener  vault.Opener
	Plugins keyring.Plugins // nil: no plugin's recipient can be wrapped for
	Clock   func() time.Time
	Log     *slog.Logger // nil: nothing is logged
	// Linger is how long a former key stays in memory after it left the header, for who read a record before and opens it now; default 5 minutes.
	Linger time.Duration
	// Busy is told when work on a rotation begins; what it gives is called when it pauses or ends. nil: nobody is told.
	Busy func() (done func())
	// Rows is how many records one transaction of a rotation seals anew; default 256.
	Rows int
}

// Keeper changes the slots and data keys of one vault. Its methods may be called by many goroutines; Run belongs to one.
type Keeper struct {
	o    Options
	st   store.Store
	log  *audit.Log
	book *record.Book
	seal vault.Resealer

	states *record.Set[state]
	wake   chan struct{}
	mu     sync.Mutex // held while the header changes

	lock    sync.Mutex // of problem
	problem *fault.Error
}

// New makes a Keeper. Run must run for rotations to come to their end.
func New(o Options) *Keeper {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Linger == 0 {
		o.Linger = 5 * time.Minute
	}
	if o.Busy == nil {
		o.Busy = func() func() { return func() {} }
	}
	if o.Rows <= 0 {
		o.Rows = 256
	}
	log, st := o.Vault.Audit()
	k := &Keeper{
		o: o, st: st, log: log, book: o.Vault.Book(), seal: vault.Resealer{Opener: o.Opener, Keyring: o.Keyring}, wake: make(chan struct{}, 1),
	}
	k.states = record.NewSet[state](k.book, States)
	return k
}

func (k *Keeper) now() time.Time { return k.o.Clock().UTC() }

func (k *Keeper) view(ctx context.Context, fn func(store.Tx) error) error {
	return vault.StoreFault(k.st.View(ctx, fn))
}

func (k *Keeper) update(ctx context.Context, fn func(store.Tx) error) error {
	return vault.StoreFault(k.st.Update(ctx, fn))
}

// alone is update for what changes the header.
func (k *Keeper) alone(ctx context.Context, fn func(store.Tx) error) error {
	if g, ok := k.st.(interface {
		UpdateAlone(context.Context, func(store.Tx) error) error
	}); ok {
		return vault.StoreFault(g.UpdateAlone(ctx, fn))
	}
	return k.update(ctx, fn)
}

// Overview is what may be known of a vault's keys.
type Overview struct {
	keyring.Overview
	Unlocked string   // id of the slot that this process unlocked the vault by; "": by none
	Rotation Progress // zero: none is under way
}

// Overview gives the slots, the data keys and how far a rotation is.
func (k *Keeper) Overview(ctx context.Context) (o Overview, err error) {
	err = k.view(ctx, func(tx store.Tx) error {
		b, err := keyring.Load(tx)
		if err != nil {
			return err
		}
		if o.Overview, err = keyring.Look(b); err != nil {
			return err
		}
		o.Rotation, err = k.progress(tx, o.Overview)
		return err
	})
	o.Unlocked = k.o.Keyring.Slot()
	return o, err
}

// Header gives the header as it is kept: for trying an identity against it where that identity is. Nothing in it is secret by itself, but who has it may try
// passphrases at leisure. The reading is on record.
func (k *Keeper) Header(ctx context.Context, actor vault.Actor) (b []byte, err error) {
	err = k.view(ctx, func(tx store.Tx) error {
		b, err = keyring.Load(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return bytes.Clone(b), k.o.Vault.Note(ctx, audit.Event{Actor: actor, Action: audit.KeyCheck, Outcome: audit.Allowed})
}

// change makes a new header of the present one, outside of any transaction for it may take seconds (a passphrase, a plugin), and stores it with its audit
// record where the present one is still that.
func (k *Keeper) change(ctx context.Context, make func(header []byte) ([]byte, audit.Event, error), and func(store.Tx) error) ([]byte, error) {
	var old []byte
	err := k.view(ctx, func(tx store.Tx) (err error) {
		old, err = keyring.Load(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	next, e, err := make(bytes.Clone(old))
	if err != nil {
		return nil, err
	}
	return next, k.alone(ctx, func(tx store.Tx) error {
		now, err := keyring.Load(tx)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, old) {
			return fault.New(fault.VersionConflict, "the vault's keys changed meanwhile", "look at `zavhoz key list`, then try again")
		}
		if and != nil {
			if err := and(tx); err != nil {
				return err
			}
		}
		if err := keyring.Save(tx, next); err != nil {
			return err
		}
		return k.log.Append(tx, e)
	})
}

// NewSlot is what Add takes: a recipient's text, or a passphrase.
type NewSlot struct {
	Recipient  string
	Passphrase secret.Secret // wiped by Add
	Label      string
}

func (k *Keeper) recipient(n NewSlot) (age.Recipient, error) {
	switch {
	case (n.Recipient != "") == !n.Passphrase.IsZero():
		return nil, fault.New(fault.InvalidArgument, "a slot is for a recipient or for a passphrase", "give one of them")
	case n.Recipient != "":
		return keyring.ParseRecipient(n.Recipient, k.o.Plugins)
	}
	return keyring.PassphraseRecipient(n.Passphrase)
}

// Add wraps the data keys for one more recipient. Errors: invalid_argument, secret_in_argv, secret_invalid, name_taken, not_supported.
func (k *Keeper) Add(ctx context.Context, actor vault.Actor, n NewSlot) (s keyring.Slot, err error) {
	defer n.Passphrase.Wipe()
	to, err := k.recipient(n)
	if err != nil {
		return s, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err = k.change(ctx, func(header []byte) (next []byte, e audit.Event, err error) {
		next, s, err = k.o.Keyring.AddSlot(header, to, n.Label, k.now())
		return next, slotEvent(actor, audit.KeyAdd, s), err
	}, nil)
	return s, err
}

// Remove takes a slot away, by id, label or recipient. The slot that this process unlocked the vault by goes only by force: its next start needs another identity.
// Errors: invalid_argument (no such slot), not_permitted (the last one, or that one).
func (k *Keeper) Remove(ctx context.Context, actor vault.Actor, name string, force bool) (s keyring.Slot, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err = k.change(ctx, func(header []byte) (next []byte, e audit.Event, err error) {
		if next, s, err = k.o.Keyring.RemoveSlot(header, name); err != nil {
			return nil, e, err
		}
		if s.ID == k.o.Keyring.Slot() && !force {
			return nil, e, fault.New(fault.NotPermitted, "this daemon unlocked the vault by that slot: its next start would fail", "put another identity in place first, then say --force")
		}
		return next, slotEvent(actor, audit.KeyRemove, s), nil
	}, nil)
	return s, err
}

// slotEvent is the record of a change of a slot. A recipient is public, and long: its type and the slot's id say which.
func slotEvent(actor vault.Actor, act audit.Action, s keyring.Slot) audit.Event {
	e := audit.Event{Actor: actor, Action: act, Outcome: audit.Allowed, Subject: s.ID, Detail: map[string]string{"type": s.Type}}
	if s.Label != "" {
		e.Detail["label"] = s.Label
	}
	return e
}
