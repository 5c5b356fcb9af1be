package migrate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Bounds of one batch, which is one transaction of the target.
const (
	batchRows  = 1000
	batchBytes = 1 << 20
)

// run is one copy under way.
type run struct {
	Options
	header []byte
	names  []store.Collection // but the keyring
	rows   uint64
}

// Run copies the vault. The target must be empty, or hold what an earlier Run of the same vault left. Errors: fault already_initialized (the target holds
// something else; nothing was changed), those of Check on either side, store errors, Confirm's.
func Run(ctx context.Context, o Options) (rep Report, err error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	r := &run{Options: o}
	err = o.From.View(ctx, func(tx store.Tx) error {
		rep, err = r.copy(ctx, tx)
		return err
	})
	return rep, vault.StoreFault(err)
}

func (r *run) copy(ctx context.Context, from store.Tx) (rep Report, err error) {
	rep.VaultID = r.Keyring.VaultID()
	if err := r.look(from); err != nil {
		return rep, err
	}
	if rep.Counts, err = Check(ctx, still{from}, r.Keyring, r.Opener); err != nil {
		return rep, err
	}
	if err := r.begin(ctx); err != nil {
		return rep, err
	}
	ring := account(keyring.Collection)
	if err := from.Scan(keyring.Collection, "", "", ring.add); err != nil {
		return rep, err
	}
	rep.Collections = []backup.Collection{ring.Close()}
	for _, c := range r.names {
		a, err := r.collection(ctx, from, c)
		if err != nil {
			return rep, err
		}
		rep.Collections = append(rep.Collections, a)
	}
	for _, c := range rep.Collections {
		rep.Rows += c.Rows
	}
	if err := r.compare(ctx, rep); err != nil {
		return rep, err
	}
	return rep, r.finish(ctx, from)
}

// look reads the source's header, which must be this vault's, and what collections there are.
func (r *run) look(from store.Tx) (err error) {
	if r.header, err = vault.HeaderTx(from); err != nil {
		return err
	}
	if id, err := keyring.VaultOf(r.header); err != nil || id != r.Keyring.VaultID() {
		return errors.Join(err, fault.New(fault.WrongIdentity, "the keys are not of this vault", ""))
	}
	all, err := backup.Collections(from, r.Keyring)
	if err == nil {
		r.names = all[1:]
	}
	return err
}

// begin makes the target empty and marks it.
func (r *run) begin(ctx context.Context) error {
	mark := vault.Unfinished{VaultID: r.Keyring.VaultID(), StartedAt: r.Clock().UTC().Truncate(time.Second), Collections: r.names}
	left := []store.Collection(nil)
	err := r.To.Update(ctx, func(tx store.Tx) error {
		old, err := vault.UnfinishedMark(tx)
		if err != nil {
			return err
		}
		if old == nil {
			if err := r.empty(tx); err != nil {
				return err
			}
			return vault.MarkUnfinished(tx, mark)
		}
		if old.VaultID != mark.VaultID {
			return taken("an unfinished copy of another vault")
		}
		left = old.Collections
		both := mark
		both.Collections = union(left, mark.Collections)
		return vault.MarkUnfinished(tx, both)
	})
	if err != nil {
		return err
	}
	for _, c := range left {
		if err := r.wipe(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func taken(by string) error {
	return fault.New(fault.AlreadyInitialized, "the target holds "+by+"; nothing was changed", "name a file that is not there yet, or an empty store")
}

// empty refuses a target in which anything of a vault is.
func (r *run) empty(tx store.Tx) error {
	for _, c := range append([]store.Collection{keyring.Collection}, r.names...) {
		err := tx.Scan(c, "", "", func(string, []byte) (bool, error) { return false, taken("records already") })
		if err != nil {
			return err
		}
	}
	return nil
}

func union(a, b []store.Collection) []store.Collection {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// wipe empties a collection of the target, a batch at a time.
func (r *run) wipe(ctx context.Context, c store.Collection) error {
	for more := true; more; {
		err := r.To.Update(ctx, func(tx store.Tx) error {
			var keys []string
			err := tx.Scan(c, "", "", func(key string, _ []byte) (bool, error) {
				keys = append(keys, key)
				return len(keys) < batchRows, nil
			})
			for _, key := range keys {
				err = errors.Join(err, tx.Delete(c, key))
			}
			more = len(keys) == batchRows
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// counted is an account that takes rows from a scan.
type counted struct{ *backup.Account }

func account(c store.Collection) counted { return counted{backup.NewAccount(c)} }

func (a counted) add(key string, value []byte) (bool, error) {
	a.Add(key, value)
	return true, nil
}

// batch is rows on their way. Their bytes are the source transaction's, which outlives them.
type batch struct {
	keys   []string
	values [][]byte
	bytes  int
}

// collection copies one collection and gives its account on the source's side.
func (r *run) collection(ctx context.Context, from store.Tx, c store.Collection) (backup.Collection, error) {
	a, b := account(c), batch{}
	err := from.Scan(c, "", "", func(key string, value []byte) (bool, error) {
		a.Add(key, value)
		b.keys, b.values, b.bytes = append(b.keys, key), append(b.values, value), b.bytes+len(key)+len(value)
		if len(b.keys) < batchRows && b.bytes < batchBytes {
			return true, nil
		}
		return true, r.put(ctx, c, &b)
	})
	if err == nil {
		err = r.put(ctx, c, &b)
	}
	return a.Close(), err
}

func (r *run) put(ctx context.Context, c store.Collection, b *batch) error {
	if len(b.keys) == 0 {
		return nil
	}
	err := r.To.Update(ctx, func(tx store.Tx) error {
		for i, key := range b.keys {
			if err := tx.Put(c, key, b.values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	r.rows += uint64(len(b.keys))
	if err == nil && r.Progress != nil {
		r.Progress(r.rows)
	}
	b.keys, b.values, b.bytes = b.keys[:0], b.values[:0], 0
	return err
}

// compare reads the target again: its counts and digests are the source's, and it holds by itself.
func (r *run) compare(ctx context.Context, rep Report) error {
	err := r.To.View(ctx, func(tx store.Tx) error {
		for _, want := range rep.Collections[1:] {
			a := account(want.Name)
			if err := tx.Scan(want.Name, "", "", a.add); err != nil {
				return err
			}
			if have := a.Close(); have != want {
				return fault.Newf(fault.VaultCorrupt, "the copy of %s is not what was copied: %d of %d records, or others", want.Name, have.Rows, want.Rows).WithNext("try again; check the target's disk")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	n, err := checked(ctx, r.To, r.Keyring, r.Opener, r.Confirm)
	if err == nil && n != rep.Counts {
		err = fault.New(fault.VaultCorrupt, "the copy has other audit records or seals than what was copied", "try again; check the target's disk")
	}
	return err
}

// finish makes the target a vault: the keyring comes, the event is recorded and the mark goes, in one transaction.
func (r *run) finish(ctx context.Context, from store.Tx) error {
	book := record.NewBook(r.Keyring)
	log := audit.New(book, r.Keyring, audit.Options{Clock: r.Clock})
	return r.To.Update(ctx, func(tx store.Tx) error {
		err := from.Scan(keyring.Collection, "", "", func(key string, value []byte) (bool, error) {
			return true, tx.Put(keyring.Collection, key, value)
		})
		if err != nil {
			return err
		}
		if r.Event.Action != "" {
			if err := log.Append(tx, r.Event); err != nil {
				return err
			}
		}
		return vault.ClearUnfinished(tx)
	})
}
