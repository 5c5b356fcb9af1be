package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Create makes a new vault's keyring: one random data key, wrapped for each recipient, and the header that Unlock reads.
func Create(recipients []age.Recipient) (*Keyring, []byte, error) {
	k, h, err := create(keys.New(keys.Options{}), time.Now(), recipients)
	if err != nil {
		return nil, nil, err
	}
	return k, h, nil
}

func create(r *keys.Ring, now time.Time, recipients []age.Recipient) (*Keyring, []byte, error) {
	i, err := r.Generate()
	if err != nil {
		return nil, nil, fmt.Errorf("keyring: make a data key: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	h := header{Format: Format, VaultID: id.New(id.Vault), CreatedAt: now, Current: i.String()}
	slots, err := wrapAll(r, i, recipients)
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	h.Keys = []keyHeader{{ID: i.String(), CreatedAt: now, Slots: slots}}
	b, err := h.seal(r)
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("keyring: seal the header: %w", err)
	}
	return &Keyring{vault: h.VaultID, ring: r}, b, nil
}

func wrapAll(r *keys.Ring, i keys.ID, recipients []age.Recipient) ([]Slot, error) {
	if len(recipients) == 0 || len(recipients) > maxSlots {
		return nil, fault.Newf(fault.InvalidArgument, "a vault has between 1 and %d recipients", maxSlots)
	}
	var slots []Slot
	err := r.Wrap(i, func(raw []byte) error {
		for _, to := range recipients {
			s, err := wrap(raw, to)
			if err != nil {
				return err
			}
			slots = append(slots, s)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keyring: wrap the data key: %w", err)
	}
	return slots, nil
}

// wrap makes one age file for one recipient: age refuses to mix some kinds of recipient in one file.
func wrap(raw []byte, to age.Recipient) (Slot, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		return Slot{}, err
	}
	if _, err := w.Write(raw); err != nil {
		return Slot{}, err
	}
	if err := w.Close(); err != nil {
		return Slot{}, err
	}
	s := Slot{Type: stanzaType(b.Bytes()), Wrapped: base64.StdEncoding.EncodeToString(b.Bytes())}
	if t, ok := to.(fmt.Stringer); ok && strings.HasPrefix(t.String(), "age1") {
		s.Recipient = t.String()
	}
	return s, nil
}

// stanzaType reads the kind of recipient from an age file's first stanza: "-> TYPE …".
func stanzaType(file []byte) string {
	_, rest, _ := bytes.Cut(file, []byte("\n-> "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	t, _, _ := bytes.Cut(line, []byte(" "))
	return string(t)
}

// Unlock opens the data keys of a header with the first identity that fits. Errors: fault wrong_identity (none fits), vault_corrupt,
// vault_format.
func Unlock(h []byte, ids []age.Identity) (*Keyring, error) {
	return unlock(keys.New(keys.Options{}), h, ids)
}

func unlock(r *keys.Ring, b []byte, ids []age.Identity) (*Keyring, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	for _, kh := range h.Keys {
		if err := addKey(r, kh, ids); err != nil {
			r.Close()
			return nil, err
		}
	}
	current, err := keys.ParseID(h.Current)
	if err == nil {
		err = r.Use(current)
	}
	if err != nil || !h.authentic(r) {
		r.Close()
		return nil, corrupt("its authentication fails")
	}
	return &Keyring{vault: h.VaultID, ring: r}, nil
}

func addKey(r *keys.Ring, kh keyHeader, ids []age.Identity) error {
	i, err := keys.ParseID(kh.ID)
	if err != nil {
		return corrupt("a key's id")
	}
	raw, err := unwrap(kh, ids)
	if err != nil {
		return err
	}
	defer clear(raw)
	if err := r.Add(i, raw); err != nil {
		return corrupt("a key").Because(err)
	}
	return nil
}

// unwrap tries every slot. No slot for any identity means the wrong identity; a slot that is ours by name or by trial and does not open
// means damage.
func unwrap(kh keyHeader, ids []age.Identity) ([]byte, error) {
	wrong := fault.New(fault.WrongIdentity, "no identity given opens this vault", "give the identity file that was made with the vault, or restore it from a backup")
	if len(ids) == 0 {
		return nil, wrong
	}
	var damaged error
	for _, s := range kh.Slots {
		file, err := base64.StdEncoding.Strict().DecodeString(s.Wrapped)
		if err != nil {
			return nil, corrupt("a slot").Because(err)
		}
		raw, err := decrypt(file, ids)
		if err == nil {
			return raw, nil
		}
		var none *age.NoIdentityMatchError
		if !errors.As(err, &none) || s.isFor(ids) {
			damaged = corrupt("a key does not unwrap").Because(err)
		}
	}
	if damaged != nil {
		return nil, damaged
	}
	return nil, wrong
}

func decrypt(file []byte, ids []age.Identity) ([]byte, error) {
	plain, err := age.Decrypt(bytes.NewReader(file), ids...)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, keys.KeySize+1)
	n, err := io.ReadFull(plain, raw)
	if n != keys.KeySize || !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(raw)
		return nil, keys.ErrKey
	}
	return raw[:n], nil
}

// isFor tells whether the slot names the public half of one of ids.
func (s Slot) isFor(ids []age.Identity) bool {
	for _, i := range ids {
		switch i := i.(type) {
		case *age.X25519Identity:
			if i.Recipient().String() == s.Recipient {
				return true
			}
		case *age.HybridIdentity:
			if i.Recipient().String() == s.Recipient {
				return true
			}
		}
	}
	return false
}

// Slots lists the slots of a header's current key without unlocking it: unauthenticated, for people to read.
func Slots(b []byte) ([]Slot, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	for _, k := range h.Keys {
		if k.ID == h.Current {
			return k.Slots, nil
		}
	}
	return nil, corrupt("the current key")
}
