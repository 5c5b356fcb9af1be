package record

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// accountsKey is the row of all accounts. A collection's name cannot begin with a point. "main": replicas may have one each later, for counts and
// sums add up.
const (
	accountsKey    = ".all/main"
	accountsPrefix = ".all/"
)

// tally is the count of rows and the sum over them.
type tally struct {
	count uint64
	sum   sum
}

// account is the tally of one collection.
type account struct {
	c store.Collection
	tally
}

// accounts are those of all collections at one moment, in order of names. They do not change after the transaction that makes them from the last. It
// holds them, so what is encoded, masked and authenticated is the last of a whole group of transactions and not each.
type accounts struct {
	b       *Book
	list    []account
	pending []pending // rows that are held too: the list has what they replace
	former  []string  // rows of the former format that the first write takes away

	tx   store.Tx    // that made them, and changes them as long as it runs and nobody asked for their bytes
	read atomic.Bool // somebody did
	lost error       // a change that failed half way: whoever goes on in spite of it makes nothing durable
	once sync.Once
	raw  []byte
	err  error
}

// pending is a record that is held beside the accounts.
type pending struct {
	key string // collection/key
	row heldRow
}

// heldRow is a record that is not encoded yet.
type heldRow interface {
	store.Held
	replaces() []byte // the row that the accounts hold; nil: none
	replace([]byte)   // sets it, before anybody else sees the row
}

var _ store.Held = (*accounts)(nil)

// Encode settles what is pending and gives the row, once.
func (a *accounts) Encode() ([]byte, error) {
	a.read.Store(true)
	if a.lost != nil {
		return nil, a.lost
	}
	a.once.Do(func() { a.raw, a.err = a.settle() })
	return a.raw, a.err
}

func (a *accounts) settle() ([]byte, error) {
	s := &accounts{b: a.b, list: slices.Clone(a.list)}
	for _, p := range a.pending {
		raw, err := p.row.Encode()
		if err != nil {
			return nil, err
		}
		c, _, _ := strings.Cut(p.key, "/")
		if err := s.move(store.Collection(c), p.row.replaces(), raw); err != nil {
			return nil, err
		}
	}
	raw, err := a.b.encodeAccounts(s.list)
	if err != nil {
		return nil, err
	}
	s.once.Do(func() { s.raw = raw })
	a.b.remember(s)
	return raw, nil
}

// next is a copy to be changed and held.
func (a *accounts) next() *accounts {
	list := make([]account, len(a.list), len(a.list)+1)
	copy(list, a.list)
	return &accounts{b: a.b, list: list, pending: slices.Clone(a.pending)}
}

// move takes the row old out of c's account and puts now in; either may be nil.
func (a *accounts) move(c store.Collection, old, now []byte) error {
	i, there := slices.BinarySearchFunc(a.list, c, func(x account, c store.Collection) int { return strings.Compare(string(x.c), string(c)) })
	if !there {
		a.list = slices.Insert(a.list, i, account{c: c})
	}
	t := &a.list[i].tally
	if old != nil {
		x, err := a.b.term(old, atMAC)
		if err != nil {
			return keyring.Fault(err)
		}
		if t.count == 0 {
			return lostAccount(c)
		}
		t.count, t.sum = t.count-1, t.sum.minus(x)
	}
	if now != nil {
		x, err := a.b.term(now, atMAC)
		if err != nil {
			return keyring.Fault(err)
		}
		t.count, t.sum = t.count+1, t.sum.plus(x)
	}
	return nil
}

// settled takes a row out of those pending and gives what the accounts hold of it; ok is false where it is not pending.
func (a *accounts) settled(key string) (held []byte, ok bool) {
	for i, p := range a.pending {
		if p.key == key {
			a.pending = slices.Delete(a.pending, i, i+1)
			return p.row.replaces(), true
		}
	}
	return nil, false
}

func lostAccount(c store.Collection) *fault.Error {
	return fault.Newf(fault.VaultCorrupt, "the count of %.80q does not agree with its records", string(c)).WithNext(mend)
}

func pendingKey(c store.Collection, key string) string { return string(c) + "/" + key }

// account moves the account of c from the old row under key to the new one; either may be nil.
func (b *Book) account(tx store.Tx, c store.Collection, key string, old, now []byte) error {
	return b.change(tx, func(a *accounts) error {
		if len(a.pending) > 0 {
			if held, ok := a.settled(pendingKey(c, key)); ok {
				old = held
			}
		}
		return a.move(c, old, now)
	})
}

// hold notes a row that is held; found encodes the one that it replaces.
func (b *Book) hold(tx store.Tx, c store.Collection, key string, row heldRow, found func() ([]byte, error)) error {
	return b.change(tx, func(a *accounts) error {
		k := pendingKey(c, key)
		// One that is pending here may be durable by now, of the batch before, and so be the row that was found; the accounts hold what that one replaced.
		held, ok := a.settled(k)
		if !ok { // another Book's accounts count what was held
			var err error
			if held, err = found(); err != nil {
				return err
			}
		}
		row.replace(held)
		a.pending = append(a.pending, pending{k, row})
		return nil
	})
}

// change holds what fn makes of the present accounts, or puts it where the transaction cannot hold.
func (b *Book) change(tx store.Tx, fn func(*accounts) error) error {
	now, err := b.current(tx)
	if err != nil {
		return err
	}
	if now.tx == tx && !now.read.Load() {
		if now.lost == nil {
			now.lost = fn(now)
		}
		return now.lost
	}
	next := now.next()
	if err := fn(next); err != nil {
		return err
	}
	for _, key := range now.former {
		if err := tx.Delete(Digests, key); err != nil {
			return err
		}
	}
	if h, ok := tx.(store.Holder); ok {
		next.tx = tx
		return h.Hold(Digests, accountsKey, next)
	}
	raw, err := next.Encode()
	if err != nil {
		return err
	}
	return tx.Put(Digests, accountsKey, raw)
}

// current gives the accounts as the transaction sees them.
func (b *Book) current(tx store.Tx) (*accounts, error) {
	if h, ok := tx.(store.Holder); ok {
		if a, ok := h.Held(Digests, accountsKey).(*accounts); ok && a.b == b {
			return a, nil
		}
	}
	raw, err := tx.Get(Digests, accountsKey)
	if errors.Is(err, store.ErrNotFound) {
		return b.formerAccounts(tx)
	}
	if err != nil {
		return nil, err
	}
	if known := b.known.Load(); known != nil && bytes.Equal(known.raw, raw) && !b.ring.Closed() {
		return known, nil
	}
	list, err := b.decodeAccounts(accountsKey, raw)
	if err != nil {
		return nil, err
	}
	a := &accounts{b: b, list: list}
	a.once.Do(func() { a.raw = raw })
	b.remember(a)
	return a, nil
}

// remember keeps accounts that are known to be authentic: they count where the stored bytes are equal.
func (b *Book) remember(a *accounts) { b.known.Store(a) }
