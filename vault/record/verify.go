package record

import (
	"context"
	"runtime"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// verifyRows is how many rows one worker takes at a time.
const verifyRows = 256

// Verify authenticates every record of every collection that has an account or is registered, and holds counts and sums against them, at
// one moment. Errors: fault record_tampered, naming collection and key, where a row is not authentic; vault_corrupt, naming the
// collection, where rows were lost, added or brought back.
func (b *Book) Verify(ctx context.Context, st store.Store) error {
	return st.View(ctx, func(tx store.Tx) error { return b.VerifyTx(ctx, tx) })
}

// VerifyTx is Verify within a transaction.
func (b *Book) VerifyTx(ctx context.Context, tx store.Tx) error {
	accounts, err := b.accounts(ctx, tx)
	if err != nil {
		return err
	}
	all := b.registered()
	for c := range accounts {
		all[c] = struct{}{}
	}
	for c := range all {
		if err := b.verifySet(ctx, tx, c, accounts[c]); err != nil {
			return err
		}
	}
	return nil
}

// VerifyThese is VerifyTx for some collections; of more than most rows by their account, a collection is left out (0: none is).
func (b *Book) VerifyThese(ctx context.Context, tx store.Tx, most uint64, cols ...store.Collection) error {
	accounts, err := b.accounts(ctx, tx)
	if err != nil {
		return err
	}
	all := b.registered()
	for _, c := range cols {
		_, ours := all[c]
		if want := accounts[c]; (ours || want.count > 0) && (most == 0 || want.count <= most) {
			if err := b.verifySet(ctx, tx, c, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// accounts reads all rows of accounts: of the present format, or, where there are none, of the former.
func (b *Book) accounts(ctx context.Context, tx store.Tx) (map[store.Collection]tally, error) {
	found, f := map[store.Collection]tally{}, former{b: b}
	present := false
	add := func(list []account) {
		for _, a := range list {
			found[a.c] = found[a.c].plus(a.tally)
		}
	}
	err := tx.Scan(Digests, "", "", func(key string, raw []byte) (bool, error) {
		if strings.HasPrefix(key, accountsPrefix) {
			list, err := b.decodeAccounts(key, raw)
			add(list)
			present = true
			return ctx.Err() == nil, err
		}
		if present { // a point comes before letters: rows of both formats were never there together
			return false, tampered(Digests, key)
		}
		return ctx.Err() == nil, f.take(key, raw)
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || present {
		return found, err
	}
	list, err := f.accounts()
	add(list)
	return found, err
}

// verifySet authenticates the rows of c and holds their count and sum against want.
func (b *Book) verifySet(ctx context.Context, tx store.Tx, c store.Collection, want tally) error {
	have, err := b.tallyOf(ctx, tx, c)
	if err != nil {
		return err
	}
	if have.count != want.count {
		return fault.Newf(fault.VaultCorrupt, "records of %s were lost or added: %d are there, %d should be", c, have.count, want.count).WithNext(mend)
	}
	if have.sum != want.sum {
		return fault.Newf(fault.VaultCorrupt, "a record of %s was brought back from an earlier moment", c).WithNext(mend)
	}
	return nil
}

// rawRow is a row as it lies in the store.
type rawRow struct {
	key string
	raw []byte
}

// tallyOf authenticates and adds up the rows of c. One goroutine reads, one a processor computes; few rows are in memory at a time.
func (b *Book) tallyOf(ctx context.Context, tx store.Tx, c store.Collection) (tally, error) {
	t := &tallier{b: b, c: c, label: macLabel + string(c)}
	err := t.scan(ctx, tx)
	if t.err != nil {
		return tally{}, t.err
	}
	return t.sum, err
}

// tallier adds up rows that several workers authenticate.
type tallier struct {
	b     *Book
	c     store.Collection
	label string

	workers sync.WaitGroup

	mu  sync.Mutex
	sum tally
	at  string // the least key that failed, so that the answer is the same each time
	err error
}

// scan gives the rows out, whole chunks of them to workers: a collection of a few rows needs none.
func (t *tallier) scan(ctx context.Context, tx store.Tx) error {
	var rows []rawRow
	var chunks chan []rawRow
	defer func() {
		if chunks != nil {
			close(chunks)
			t.workers.Wait()
		}
		t.take(rows)
	}()
	return tx.Scan(t.c, "", "", func(key string, raw []byte) (bool, error) {
		if rows = append(rows, rawRow{key, raw}); len(rows) < verifyRows {
			return true, nil
		}
		if chunks == nil {
			chunks = t.start()
		}
		chunks <- rows
		rows = make([]rawRow, 0, verifyRows)
		return !t.failed(), ctx.Err()
	})
}

func (t *tallier) start() chan []rawRow {
	chunks := make(chan []rawRow, 1)
	for range runtime.GOMAXPROCS(0) {
		t.workers.Go(func() {
			for rows := range chunks {
				t.take(rows)
			}
		})
	}
	return chunks
}

func (t *tallier) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

func (t *tallier) take(rows []rawRow) {
	var all tally
	for _, r := range rows {
		x, err := t.one(r)
		if err != nil {
			t.fail(r.key, err)
			return
		}
		all = all.plus(tally{1, x})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum = t.sum.plus(all)
}

func (t *tallier) one(r rawRow) (sum, error) {
	if _, err := t.b.check(t.c, t.label, r.key, r.raw); err != nil {
		return sum{}, err
	}
	x, err := t.b.term(r.raw, atMAC)
	if err != nil {
		return sum{}, keyring.Fault(err)
	}
	return x, nil
}

func (t *tallier) fail(key string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil || key < t.at {
		t.at, t.err = key, err
	}
}
