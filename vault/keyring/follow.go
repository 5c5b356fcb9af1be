package keyring

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// follower is what a keyring knows of the header that it goes by. Others may change it: another daemon's `key add` or `key rotate`.
type follower struct {
	header []byte               // the last that was heeded
	before [][sha256.Size]byte  // the ones before it: a View of an earlier moment sees them still
	former map[string]time.Time // keys that sealed once, or that a header held: never current again; since when no header has them, zero while one has
}

// Heed holds the keys against the header of this moment, at the begin of a transaction: what is sealed in it is sealed under the header's current key, or not at all. missing
// tells that the header has a key that this ring lacks: another daemon rotated; then Gain. writes says that the moment is the newest, or nothing comes of the transaction: an
// earlier header is damage then. Errors: vault_corrupt for a header that its own key does not vouch for, or that goes back to a former one.
func (k *Keyring) Heed(tx store.Tx, writes bool) (missing bool, err error) {
	k.follow.Lock()
	defer k.follow.Unlock()
	if k.heeded.header != nil {
		if c, ok := tx.(store.Comparer); ok {
			same, err := c.Same(Collection, headerKey, k.heeded.header)
			if same || err != nil {
				return false, err
			}
		}
	}
	b, err := Load(tx)
	if err != nil || bytes.Equal(b, k.heeded.header) {
		return false, err
	}
	if slices.Contains(k.heeded.before, sha256.Sum256(b)) {
		if writes {
			return false, corrupt("it is an earlier one")
		}
		return false, nil
	}
	h, err := parseHeader(b)
	if err != nil {
		return false, err
	}
	if h.VaultID != k.vault {
		return false, corrupt("it is another vault's")
	}
	for _, x := range h.Keys {
		if i, err := keys.ParseID(x.ID); err != nil || !k.ring.Has(i) {
			if k.Closed() {
				return false, Fault(keys.ErrClosed)
			}
			return true, nil
		}
	}
	return false, k.heed(h, b)
}

// heed goes by a header whose keys are all in the ring. It runs under follow.
func (k *Keyring) heed(h header, b []byte) error {
	if !h.authentic(k.ring) {
		return corrupt("its authentication fails")
	}
	was := k.Current()
	if _, over := k.heeded.former[h.Current]; over && h.Current != was {
		return corrupt("it goes back to a former data key")
	}
	if err := k.use(h.Current); err != nil {
		return err
	}
	if k.heeded.former == nil {
		k.heeded.former = map[string]time.Time{}
	}
	if was != h.Current {
		k.heeded.former[was] = time.Time{}
	}
	for id, since := range k.heeded.former {
		switch {
		case h.key(id) != nil:
			k.heeded.former[id] = time.Time{}
		case since.IsZero():
			k.heeded.former[id] = time.Now()
		}
	}
	for _, x := range h.Keys {
		if x.ID != h.Current {
			k.heeded.former[x.ID] = time.Time{}
		}
	}
	if was := k.heeded.header; was != nil {
		k.heeded.before = append(k.heeded.before, sha256.Sum256(was))
		k.heeded.before = k.heeded.before[max(0, len(k.heeded.before)-maxBefore):]
	}
	k.heeded.header = bytes.Clone(b)
	return nil
}

// maxBefore is how many earlier headers are known again.
const maxBefore = 256

func (k *Keyring) use(key string) error {
	i, err := keys.ParseID(key)
	if err != nil {
		return corrupt("the current key")
	}
	return Fault(k.ring.Use(i))
}

// Gain takes what keys from has and k lacks; from is locked afterwards. The caller has made sure that the present audit key handed over to from's. What seals is Heed's to say.
func (k *Keyring) Gain(from *Keyring) error {
	defer from.Close()
	if from.vault != k.vault {
		return fault.New(fault.Internal, "the keys are those of another vault", "")
	}
	return Fault(k.ring.Gain(from.ring))
}

// Prune wipes former keys that no header has had for linger: who read a record before may open it still.
func (k *Keyring) Prune(linger time.Duration) {
	k.follow.Lock()
	defer k.follow.Unlock()
	for id, since := range k.heeded.former {
		if !since.IsZero() && time.Since(since) >= linger {
			k.Drop(id)
		}
	}
}
