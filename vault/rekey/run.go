package rekey

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Waits between tries of a rotation that does not get on (a full disk, a record that is not authentic).
const (
	retryFirst = time.Second
	retryMost  = time.Minute
)

// leftover says that records of a collection are under the former key still: another pass is needed.
type leftover struct{ in store.Collection }

// Error names the collection.
func (l leftover) Error() string { return "rekey: something of " + string(l.in) + " is left" }

// Run brings a rotation to its end, one that a process before began as well, and waits for the next, until ctx ends. It returns when nothing of it is under way.
func (k *Keeper) Run(ctx context.Context) {
	var former []string
	for wait := retryFirst; ctx.Err() == nil; {
		from, err := k.finish(ctx)
		if from != "" {
			former = append(former, from)
		}
		var next <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return
		case fault.CodeOf(err) == fault.VaultLocked: // Wake tells when it is unlocked
			wait = retryFirst
		case err != nil:
			k.say(err)
			k.o.Log.Error("the rotation of the data key does not get on", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
			next, wait = time.After(wait), min(2*wait, retryMost)
		default:
			k.say(nil)
			wait = retryFirst
			if len(former) > 0 {
				next = time.After(k.o.Linger)
			}
		}
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-next:
			if err == nil {
				k.o.Keyring.Drop(former[0])
				former = former[1:]
			}
		}
	}
}

// Wake tells that the vault was unlocked: a rotation goes on.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// finish brings a rotation to its end, where one is under way, and gives the id of the former key then.
func (k *Keeper) finish(ctx context.Context) (from string, err error) {
	s, running, err := k.load(ctx)
	if err != nil || !running {
		return "", err
	}
	defer k.o.Busy()()
	for {
		before := s.Done
		for more := true; more; {
			if s, more, err = k.step(ctx, s); errors.Is(err, errPassed) {
				return "", nil
			} else if err != nil {
				return "", err
			}
		}
		var left leftover
		err = k.retire(ctx, s)
		switch {
		case err == nil:
			return s.From, nil
		case errors.Is(err, errPassed):
			return "", nil
		case !errors.As(err, &left):
			return "", err
		case s.Pass > 1 && s.Done == before: // a whole pass found nothing to do, and still something is left
			return "", fault.Newf(fault.Internal, "records of %s hold sealed values that this version cannot seal anew: the former data key stays", left.in).WithNext("upgrade zavhoz")
		}
		s.Pass, s.Collection, s.Key = s.Pass+1, "", ""
	}
}

// load gives the state of the rotation that the header speaks of. Where the header's key is not the one that seals, a commit was durable though its caller had gone:
// it seals from now on.
func (k *Keeper) load(ctx context.Context) (s state, running bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err = k.view(ctx, func(tx store.Tx) error {
		b, err := keyring.Load(tx)
		if err != nil {
			return err
		}
		o, err := keyring.Look(b)
		if running = len(o.Older) > 0; err != nil || !running {
			return err
		}
		if k.o.Keyring.Closed() {
			return fault.New(fault.VaultLocked, "the vault is locked", "unlock it with `zavhoz unlock`; the rotation goes on then")
		}
		s, err = k.states.Get(tx, stateKey)
		if errors.Is(err, store.ErrNotFound) || err == nil && s.To != o.Current.ID {
			s, err = state{Format: 1, From: o.Older[0].ID, To: o.Current.ID, BegunAt: o.Current.CreatedAt, Pass: 1}, nil
		}
		if err == nil && s.To != k.o.Keyring.Current() {
			err = k.o.Keyring.Adopt(b)
		}
		return err
	})
	return s, running, err
}

// order gives the collections to work through: servers first, whose fingerprints a cycle of sync compares. The audit log is a chain of its own, and the accounts
// follow what they account for.
func (k *Keeper) order(tx store.Tx) ([]store.Collection, error) {
	all, err := k.book.Collections(tx)
	out := []store.Collection{vault.ServerCollection}
	for _, c := range all {
		if c != vault.ServerCollection && c != record.Digests && c != audit.Records {
			out = append(out, c)
		}
	}
	return out, err
}

// Bounds of one transaction, besides the number of rows.
const (
	stepBytes = 4 << 20 // of records that are sealed anew
	stepLooks = 20_000  // records that are looked at
)

// work is one transaction's share.
type work struct {
	k     *Keeper
	s     state
	rows  []string // of the collection at hand
	taken int      // rows, of all
	bytes int
	looks int
}

// step seals the next records anew, in one transaction with the state that says so.
func (k *Keeper) step(ctx context.Context, s state) (next state, more bool, err error) {
	err = k.update(ctx, func(tx store.Tx) error {
		if _, err := k.under(tx, s); err != nil {
			return err
		}
		list, err := k.order(tx)
		if err != nil {
			return err
		}
		w := &work{k: k, s: s}
		more = false
		past := s.Collection == ""
		for _, c := range list {
			if past = past || c == s.Collection; !past {
				continue
			}
			if more, err = w.collection(tx, c); err != nil || more {
				break
			}
		}
		next = w.s
		if err != nil {
			return err
		}
		return k.states.Put(tx, stateKey, next)
	})
	return next, more, err
}

// collection takes its share of one collection; full tells that there is no room for more.
func (w *work) collection(tx store.Tx, c store.Collection) (full bool, err error) {
	if w.s.Collection != c {
		w.s.Collection, w.s.Key = c, ""
	}
	w.rows = w.rows[:0]
	err = tx.Scan(c, "", w.s.Key, func(key string, raw []byte) (bool, error) {
		w.looks++
		w.s.Key = key
		stale, err := w.k.stale(c, raw, w.s.From)
		if stale {
			w.rows = append(w.rows, key)
			w.taken++
			w.bytes += len(raw)
		}
		full = w.taken >= w.k.o.Rows || w.bytes >= stepBytes || w.looks >= stepLooks
		return !full, err
	})
	if err != nil {
		return false, err
	}
	for _, key := range w.rows {
		err := w.k.book.Restamp(tx, c, key, func(body []byte) ([]byte, error) { return w.k.body(c, body, w.s.From) })
		switch {
		case err == nil:
			w.s.Done++
		case !errors.As(err, new(leftover)):
			return false, err
		}
	}
	return full, nil
}

// body seals a record's fields anew. A record of which something stays under the former key, for it is of a kind that this version does not know, is left as it is:
// leftover.
func (k *Keeper) body(c store.Collection, body []byte, from string) ([]byte, error) {
	again, err := k.seal.Body(c, body)
	if err == nil && bytes.Contains(again, []byte(keyring.Trace(from))) {
		err = leftover{c}
	}
	return again, err
}
