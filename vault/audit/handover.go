package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Handovers is the collection of audit keys that were replaced, by the id of the data key that each came from.
const Handovers store.Collection = "audit_keys"

const handoverDomain = "zavhoz audit handover 1\x00"

// Handover is the word of an audit key on the one that signs after it, kept when the data key that it comes from is replaced. Checkpoints that the former
// key signed are verified by it, and who noted that key follows it to the present one. Who stole the former key could sign a handover of their own, and
// an export as well: after a rotation for that reason, note the new key.
type Handover struct {
	Format     int       `json:"format"` // 1
	VaultID    string    `json:"vault_id"`
	Key        string    `json:"key"`        // id of the data key that was replaced
	PublicKey  string    `json:"public_key"` // hex Ed25519: its audit key
	NextKey    string    `json:"next_key"`
	NextPublic string    `json:"next_public_key"`
	Time       time.Time `json:"time"`
	Signature  string    `json:"signature"` // hex Ed25519 by the former key, over the domain and the handover with an empty signature
}

func (h Handover) message() ([]byte, error) {
	h.Signature = ""
	b, err := oneLine(h)
	return append([]byte(handoverDomain), b...), err
}

// HandOver keeps the present audit key's word on that of the data key next, which is in the ring and signs nothing yet.
func (l *Log) HandOver(tx store.Tx, next string) error {
	to, err := keys.ParseID(next)
	if err != nil {
		return err
	}
	from := l.ring.Current()
	was, err := l.ring.Public(from)
	if err != nil {
		return keyring.Fault(err)
	}
	is, err := l.ring.Public(to)
	if err != nil {
		return keyring.Fault(err)
	}
	h := Handover{
		Format: 1, VaultID: l.k.VaultID(), Key: from.String(), PublicKey: hex.EncodeToString(was), NextKey: next, NextPublic: hex.EncodeToString(is), Time: l.now().UTC(),
	}
	message, err := h.message()
	if err != nil {
		return err
	}
	by, sig, err := l.ring.Sign(message)
	if err != nil {
		return keyring.Fault(err)
	}
	if by != from {
		return broken("the data key changed twice at once")
	}
	h.Signature = hex.EncodeToString(sig)
	return l.handovers.Put(tx, h.Key, h)
}

// publicOf gives the audit key of a data key: one of the ring, or one that was replaced.
func (l *Log) publicOf(tx store.Tx, i keys.ID) (ed25519.PublicKey, error) {
	pub, err := l.ring.Public(i)
	if !errors.Is(err, keys.ErrUnknownKey) {
		return pub, err
	}
	h, err := l.handovers.Get(tx, i.String())
	if err != nil {
		return nil, err
	}
	return publicKey(h.PublicKey), nil
}

// handed lists the handovers, the earliest first.
func (l *Log) handed(tx store.Tx) ([]Handover, error) {
	var out []Handover
	err := l.handovers.Scan(tx, "", "", func(_ string, h Handover) (bool, error) {
		out = append(out, h)
		return true, nil
	})
	slices.SortStableFunc(out, func(a, b Handover) int { return a.Time.Compare(b.Time) })
	return out, err
}

// publicKey reads a key in hex; nil where it is none.
func publicKey(text string) ed25519.PublicKey {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil
	}
	return b
}

// follow leads from a key that somebody noted to the one it handed over to at last, over signatures that hold, within one vault.
func follow(from ed25519.PublicKey, vault string, list []Handover) ed25519.PublicKey {
	for _, h := range list {
		was := publicKey(h.PublicKey)
		if was == nil || !was.Equal(from) || h.VaultID != vault || h.Format != 1 {
			continue
		}
		message, err := h.message()
		sig, serr := hex.DecodeString(h.Signature)
		if next := publicKey(h.NextPublic); err == nil && serr == nil && next != nil && ed25519.Verify(from, message, sig) {
			from = next
		}
	}
	return from
}
