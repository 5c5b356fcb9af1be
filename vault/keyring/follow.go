package keyring

import (
	"bytes"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// follower is what a keyring knows of the header that it goes by. Others may change it: another daemon's `key add` or `key rotate`.
type follower struct {
	header []byte               // the last that was heeded
	former map[string]time.Time // keys that sealed once, or that a header held: never current again; since when no header has them, zero while one has
}

// Heed holds the keys against the header of this moment, at the begin of a transaction: what is sealed in it is sealed under the header's current key, or not at all. The header must be one
// that is durable: whoever changes it writes alone (vault.Gate). missing tells that it has a key that this ring lacks: another daemon rotated; then Gain. writes says that the moment is
// the newest, or nothing comes of the transaction: a header of a former key is damage then, and in a View one of a moment ago. Errors: vault_corrupt for that, and for a header that its own
// key does not vouch for.
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
	h, err := parseHeader(b)
	if err != nil {
		return false, err
	}
	if h.VaultID != k.vault {
		return false, corrupt("it is another vault's")
	}
	if k.isFormer(h.Current) {
		if writes {
			return false, corrupt("it goes back to a former data key")
		}
		return false, nil
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

// isFormer runs under follow.
func (k *Keyring) isFormer(key string) bool {
	_, is := k.heeded.former[key]
	return is && key != k.Current()
}

// heed goes by a header whose keys are all in the ring. It runs under follow.
func (k *Keyring) heed(h header, b []byte) error {
	if !h.authentic(k.ring) {
		return corrupt("its authentication fails")
	}
	was := k.Current()
	if err := k.use(h.Current); err != nil {
		return err
	}
	if k.heeded.former == nil {
		k.heeded.former = map[string]time.Time{}
	}
	if was != h.Current {
		k.heeded.former[was] = time.Time{}
	}
	for _, x := range h.Keys {
		if x.ID != h.Current {
			k.heeded.former[x.ID] = time.Time{}
		}
	}
	for id, since := range k.heeded.former {
		switch {
		case h.key(id) != nil:
			k.heeded.former[id] = time.Time{}
		case since.IsZero():
			k.heeded.former[id] = time.Now()
		}
	}
	k.heeded.header = bytes.Clone(b)
	return nil
}

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

// unheed forgets all: the keys are another unlocking's.
func (k *Keyring) unheed() {
	k.follow.Lock()
	defer k.follow.Unlock()
	k.heeded = follower{}
}
