package rekey

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// stale tells whether a stored row needs the key from: by the key of its MAC, by a sealed text anywhere in it, or by a fingerprint. It authenticates nothing: a row
// that lies about itself is not ours, and Restamp or the next reader refuses it.
func (k *Keeper) stale(c store.Collection, raw []byte, from string) (bool, error) {
	i, body := record.Stamp(raw)
	if i.String() != k.o.Keyring.Current() || bytes.Contains(body, []byte(keyring.Trace(from))) {
		return true, nil
	}
	return k.seal.Stale(c, body)
}

// left tells whether any row of c needs the key from.
func (k *Keeper) left(ctx context.Context, tx store.Tx, c store.Collection, from string) (found bool, err error) {
	n := 0
	err = tx.Scan(c, "", "", func(_ string, raw []byte) (bool, error) {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		found, err = k.stale(c, raw, from)
		return !found, err
	})
	return found, err
}

// retire takes the former key out of the header, in a transaction that knows of nothing under it: all was looked at in a view that holds up nobody, and what changed
// since is looked at again within. Error: leftover.
func (k *Keeper) retire(ctx context.Context, s state) error {
	var seen record.Mark
	err := k.view(ctx, func(tx store.Tx) (err error) {
		if seen, err = k.book.Mark(tx); err != nil {
			return err
		}
		return k.nothing(ctx, tx, s.From, func(store.Collection) bool { return true })
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.alone(ctx, func(tx store.Tx) error {
		header, err := k.under(tx, s)
		if err != nil {
			return err
		}
		now, err := k.book.Mark(tx)
		if err != nil {
			return err
		}
		if err := k.nothing(ctx, tx, s.From, func(c store.Collection) bool { return now.Changed(seen, c) }); err != nil {
			return err
		}
		if header, err = k.o.Keyring.EndRotation(header); err != nil {
			return err
		}
		if err := keyring.Save(tx, header); err != nil {
			return err
		}
		if err := k.states.Delete(tx, stateKey); err != nil {
			return err
		}
		return k.log.Append(tx, audit.Event{Actor: vault.SystemActor("rekey"), Action: audit.KeyRetire, Outcome: audit.Allowed, Subject: s.From,
			Detail: map[string]string{"to": s.To}})
	})
}

// errPassed says that the rotation has ended meanwhile, at another daemon, and perhaps the next has begun.
var errPassed = errors.New("rekey: another rotation")

// under gives the header, where the rotation is the one that it speaks of.
func (k *Keeper) under(tx store.Tx, s state) ([]byte, error) {
	b, err := keyring.Load(tx)
	if err != nil {
		return nil, err
	}
	o, err := keyring.Look(b)
	if err != nil {
		return nil, err
	}
	if o.Current.ID != s.To || !slices.ContainsFunc(o.Older, func(x keyring.Key) bool { return x.ID == s.From }) {
		return nil, errPassed
	}
	return b, nil
}

// nothing gives a leftover where a row of a collection that which takes needs the key from.
func (k *Keeper) nothing(ctx context.Context, tx store.Tx, from string, which func(store.Collection) bool) error {
	list, err := k.order(tx)
	if err != nil {
		return err
	}
	for _, c := range list {
		if !which(c) {
			continue
		}
		found, err := k.left(ctx, tx, c, from)
		if err != nil {
			return err
		}
		if found {
			return leftover{c}
		}
	}
	return nil
}
