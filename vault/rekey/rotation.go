package rekey

import (
	"context"
	"errors"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// States is the collection that holds how far a rotation is, while one is under way.
const States store.Collection = "rekey"

const stateKey = "rotation"

// state is how far a rotation is. The header alone says that there is one: without its state a rotation begins its pass anew.
type state struct {
	Format     int              `json:"format"` // 1
	From       string           `json:"from"`   // id of the former data key
	To         string           `json:"to"`
	BegunAt    time.Time        `json:"begun_at"`
	Total      uint64           `json:"total"` // records when it began
	Done       uint64           `json:"done"`  // records that were sealed anew
	Pass       int              `json:"pass"`  // from 1; another follows where something was written behind the first one's back
	Collection store.Collection `json:"collection,omitempty"`
	Key        string           `json:"key,omitempty"` // everything before it, in order of work, is under the new key
}

// Progress is how far a rotation is.
type Progress struct {
	Running bool
	From    string // id of the former data key
	To      string
	BegunAt time.Time
	Total   uint64 // records when it began; more may have come since
	Done    uint64
	Problem *fault.Error // why it does not get on; nil: it does
}

// Progress tells how far a rotation is.
func (k *Keeper) Progress(ctx context.Context) (Progress, error) {
	o, err := k.Overview(ctx)
	return o.Rotation, err
}

func (k *Keeper) progress(tx store.Tx, o keyring.Overview) (Progress, error) {
	if len(o.Older) == 0 {
		return Progress{}, nil
	}
	p := Progress{Running: true, From: o.Older[0].ID, To: o.Current.ID, BegunAt: o.Current.CreatedAt}
	s, err := k.states.Get(tx, stateKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return p, err
	}
	if s.To == p.To {
		p.Total, p.Done = s.Total, s.Done
	}
	k.lock.Lock()
	defer k.lock.Unlock()
	p.Problem = k.problem
	return p, nil
}

// Rotate makes a new data key, under which everything is sealed from when it returns on; Run seals the rest anew. Each passphrase slot needs its passphrase, or
// nothing could be wrapped for it: secret_missing where one lacks. Errors: resource_busy (one is under way), not_supported (a plugin), secret_missing.
// It wipes passphrases.
func (k *Keeper) Rotate(ctx context.Context, actor vault.Actor, passphrases []secret.Secret) (Progress, error) {
	defer func() {
		for _, p := range passphrases {
			p.Wipe()
		}
	}()
	k.mu.Lock()
	defer k.mu.Unlock()
	var s state
	header, err := k.change(ctx, func(header []byte) (next []byte, e audit.Event, err error) {
		next, to, err := k.o.Keyring.BeginRotation(header, k.now(), func(slot keyring.Slot) (age.Recipient, error) { return k.again(slot, passphrases) })
		s = state{Format: 1, From: k.o.Keyring.Current(), To: to, BegunAt: k.now(), Pass: 1}
		return next, audit.Event{Actor: actor, Action: audit.KeyRotate, Outcome: audit.Allowed, Subject: to, Detail: map[string]string{"from": s.From}}, err
	}, func(tx store.Tx) error {
		m, err := k.book.Mark(tx)
		if err != nil {
			return err
		}
		s.Total = m.Count()
		if err := k.states.Put(tx, stateKey, s); err != nil {
			return err
		}
		return k.log.HandOver(tx, s.To)
	})
	if err != nil && !k.durable(ctx, s.To) {
		return Progress{}, err
	}
	if err := k.o.Keyring.Adopt(header); err != nil { // durable now: it may seal
		return Progress{}, err
	}
	k.say(nil)
	k.Wake()
	return Progress{Running: true, From: s.From, To: s.To, BegunAt: s.BegunAt, Total: s.Total}, nil
}

// durable tells whether the header holds the key to, for a commit that gave an error: a caller who went away meanwhile may have got it all the same. A key that is not
// there is dropped. Where it cannot be told, nothing seals under it, and it stays in memory until load finds out.
func (k *Keeper) durable(ctx context.Context, to string) (is bool) {
	if to == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := k.view(ctx, func(tx store.Tx) error {
		b, err := keyring.Load(tx)
		if err != nil {
			return err
		}
		o, err := keyring.Look(b)
		is = err == nil && o.Current.ID == to
		return err
	})
	if err == nil && !is {
		k.o.Keyring.Drop(to)
	}
	return is
}

// again gives the recipient of a slot, to wrap another key for it.
func (k *Keeper) again(s keyring.Slot, passphrases []secret.Secret) (age.Recipient, error) {
	if !s.IsPassphrase() {
		if s.Recipient == "" {
			return nil, fault.New(fault.NotSupported, "the slot "+s.Name()+" does not tell its recipient, so that no other key can be wrapped for it", "remove it, and add it again")
		}
		return keyring.ParseRecipient(s.Recipient, k.o.Plugins)
	}
	for _, p := range passphrases {
		if s.OpensBy(p) {
			return keyring.PassphraseRecipient(p)
		}
	}
	return nil, fault.New(fault.SecretMissing, "the passphrase of the slot "+s.Name()+" is needed to wrap the new key for it", "give it where zavhoz key rotate asks, or with --passphrase @FILE, or remove the slot first").
		With("slot", s.ID)
}

// say remembers why a rotation does not get on.
func (k *Keeper) say(err error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	k.problem = fault.Of(err)
}
