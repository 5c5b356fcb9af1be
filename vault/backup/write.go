package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Source is what is backed up.
type Source struct {
	Store   store.Store
	Keyring *keyring.Keyring
	Config  []byte           // config.yaml; at most MaxConfig, nil for none
	Program string           // version of zavhoz
	Clock   func() time.Time // default time.Now
}

// Report tells of a backup that was written.
type Report struct {
	VaultID     string       `json:"vault_id"`
	CreatedAt   time.Time    `json:"created_at"`
	Collections []Collection `json:"collections"`
	Rows        uint64       `json:"rows"`
	Size        int64        `json:"size_bytes"` // of the file
	SHA256      string       `json:"sha256"`     // of the file
	Recipients  []string     `json:"recipients"` // who can open it
	LeftOut     []string     `json:"left_out,omitempty"`
}

// Write writes one moment of the vault to w, encrypted to the recipients given. Changes of the vault go on meanwhile. What was written is a backup only when it
// returns nil. Errors: fault vault_locked, busy (the data key was changed meanwhile), too_large, store errors, and those of w.
func Write(ctx context.Context, w io.Writer, s Source, to []age.Recipient) (rep Report, err error) {
	if s.Clock == nil {
		s.Clock = time.Now
	}
	if len(s.Config) > MaxConfig {
		return rep, fault.New(fault.TooLarge, "the configuration is too large to be in a backup", "keep config.yaml below 64 KiB")
	}
	if len(to) == 0 {
		return rep, fault.New(fault.InvalidArgument, "a backup needs a recipient", "name one with --to")
	}
	out := &counted{w: w, h: sha256.New()}
	sealed, err := age.Encrypt(out, mixed(to)...)
	if err != nil {
		return rep, fault.New(fault.InvalidArgument, "a recipient cannot be encrypted to", "check the recipients").Because(err)
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		rep, err = s.write(ctx, tx, sealed)
		return err
	})
	if err == nil {
		err = sealed.Close()
	}
	rep.Size, rep.SHA256 = out.n, hex.EncodeToString(out.h.Sum(nil))
	return rep, vault.StoreFault(err)
}

func (s Source) write(ctx context.Context, tx store.Tx, w io.Writer) (Report, error) {
	rep := Report{VaultID: s.Keyring.VaultID(), CreatedAt: s.Clock().UTC().Truncate(time.Second)}
	header, err := vault.HeaderTx(tx)
	if err != nil {
		return rep, err
	}
	names, err := Collections(tx, s.Keyring)
	if err != nil {
		return rep, err
	}
	e := &encoder{w: w, h: sha256.New()}
	e.raw(append([]byte(Magic), Format))
	e.json(frameHead, Head{Format: Format, VaultID: rep.VaultID, CreatedAt: rep.CreatedAt, Program: s.Program})
	if s.Config != nil {
		e.frame(frameConfig, s.Config)
	}
	for _, c := range names {
		a, err := e.collection(ctx, tx, c)
		if err != nil {
			return rep, err
		}
		rep.Collections = append(rep.Collections, a)
		rep.Rows += a.Rows
	}
	m, err := json.Marshal(Manifest{Format: Format, Collections: rep.Collections, SHA256: hex.EncodeToString(e.h.Sum(nil))})
	if err != nil {
		return rep, err
	}
	mac, err := s.Keyring.HeaderMAC(header, macLabel, m)
	if err != nil {
		return rep, err
	}
	e.frame(frameManifest, mac[:], m)
	return rep, e.err
}

// Collections lists the collections of a vault: the keyring first, the others in order of names. What else may lie in the store is no part of the vault.
func Collections(tx store.Tx, k *keyring.Keyring) ([]store.Collection, error) {
	names, err := record.NewBook(k).Collections(tx)
	if err != nil {
		return nil, err
	}
	if len(names) >= maxCollections {
		return nil, fault.New(fault.VaultCorrupt, "the vault has more collections than a vault can have", "run `zavhoz doctor`")
	}
	return append([]store.Collection{keyring.Collection}, names...), nil
}

// encoder writes frames and hashes them. After an error it writes nothing more.
type encoder struct {
	w   io.Writer
	h   hash.Hash
	buf []byte
	err error
}

func (e *encoder) raw(b []byte) {
	if e.err != nil {
		return
	}
	_, _ = e.h.Write(b) // a hash never fails
	_, e.err = e.w.Write(b)
}

func (e *encoder) frame(kind byte, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	e.buf = binary.BigEndian.AppendUint32(append(e.buf[:0], kind), uint32(n))
	e.raw(e.buf)
	for _, p := range parts {
		e.raw(p)
	}
}

func (e *encoder) json(kind byte, v any) {
	b, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.frame(kind, b)
}

// collection writes one collection. An empty one is written too: its account is part of the manifest.
func (e *encoder) collection(ctx context.Context, tx store.Tx, c store.Collection) (Collection, error) {
	a := NewAccount(c)
	e.frame(frameCollection, []byte(c))
	err := tx.Scan(c, "", "", func(key string, value []byte) (bool, error) {
		a.Add(key, value)
		e.frame(frameRow, binary.BigEndian.AppendUint16(nil, uint16(len(key))), []byte(key), value)
		if e.err != nil {
			return false, e.err
		}
		return true, ctx.Err()
	})
	if err == nil {
		err = e.err
	}
	return a.Close(), err
}

// counted counts and hashes what is written.
type counted struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	_, _ = c.h.Write(b[:n])
	return n, err
}
