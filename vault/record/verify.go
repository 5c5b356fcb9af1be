package record

import (
	"context"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Verify authenticates every record of every collection that has accounts or is registered, and holds counts and sums against them, at
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

// accounts reads all digest rows and holds them against the root.
func (b *Book) accounts(ctx context.Context, tx store.Tx) (map[store.Collection]*[shards]row, error) {
	found := map[store.Collection]*[shards]row{}
	var root, have row
	err := tx.Scan(Digests, "", "", func(key string, raw []byte) (bool, error) {
		r, err := b.decode(key, raw)
		if err != nil {
			return false, err
		}
		if strings.HasPrefix(key, rootPrefix) {
			root.count, root.sum = root.count+r.count, root.sum.plus(r.sum)
			return true, ctx.Err()
		}
		t, err := b.term(raw, atRowMAC)
		if err != nil {
			return false, keyring.Fault(err)
		}
		have.count, have.sum = have.count+1, have.sum.plus(t)
		c, digit, _ := strings.Cut(key, "/")
		n := strings.Index(hexDigit, digit)
		if len(digit) != 1 || n < 0 {
			return false, tampered(Digests, key)
		}
		if found[store.Collection(c)] == nil {
			found[store.Collection(c)] = &[shards]row{}
		}
		found[store.Collection(c)][n] = r
		return true, ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if root.count != have.count || root.sum != have.sum {
		return nil, fault.Newf(fault.VaultCorrupt, "counts of the vault's collections were lost, added or brought back: %d of %d are there", have.count, root.count).WithNext(mend)
	}
	return found, nil
}

// verifySet authenticates the rows of c and holds their count and sum against want (nil: none may be there).
func (b *Book) verifySet(ctx context.Context, tx store.Tx, c store.Collection, want *[shards]row) error {
	if want == nil {
		want = &[shards]row{}
	}
	var have [shards]row
	label, n := macLabel+string(c), 0
	err := tx.Scan(c, "", "", func(key string, raw []byte) (bool, error) {
		if _, err := b.check(c, label, key, raw); err != nil {
			return false, err
		}
		t, err := b.term(raw, atMAC)
		if err != nil {
			return false, keyring.Fault(err)
		}
		h := &have[shard(key)]
		h.count, h.sum = h.count+1, h.sum.plus(t)
		if n++; n%1024 == 0 {
			return true, ctx.Err()
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for i := range have {
		if have[i].count != want[i].count {
			return fault.Newf(fault.VaultCorrupt, "records of %s were lost or added: %d are there, %d should be (shard %x)", c, have[i].count, want[i].count, i).WithNext(mend)
		}
		if have[i].sum != want[i].sum {
			return fault.Newf(fault.VaultCorrupt, "a record of %s was brought back from an earlier moment (shard %x)", c, i).WithNext(mend)
		}
	}
	return nil
}
