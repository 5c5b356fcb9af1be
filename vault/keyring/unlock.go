package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
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
	h.Keys = []keyHeader{{ID: i.String(), CreatedAt: now}}
	if len(recipients) == 0 || len(recipients) > maxSlots {
		r.Close()
		return nil, nil, invalid(fmt.Sprintf("a vault has between 1 and %d recipients", maxSlots), "")
	}
	k := &Keyring{vault: h.VaultID, ring: r}
	for n, to := range recipients {
		if _, err = k.addSlot(&h, to, "", now); err != nil {
			r.Close()
			return nil, nil, fmt.Errorf("keyring: wrap the data key: %w", err)
		}
		if n == 0 {
			k.slot.set(h.Keys[0].Slots[0].ID)
		}
	}
	b, err := h.seal(r)
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("keyring: seal the header: %w", err)
	}
	return k, b, nil
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
	slot, err := addKeys(r, h, ids)
	if err != nil {
		r.Close()
		return nil, err
	}
	current, err := keys.ParseID(h.Current)
	if err == nil {
		err = r.Use(current)
	}
	if err != nil || !h.authentic(r) {
		r.Close()
		return nil, corrupt("its authentication fails")
	}
	k := &Keyring{vault: h.VaultID, ring: r}
	k.slot.set(h.upgraded().Keys[0].Slots[slot].ID)
	return k, nil
}

// addKeys unwraps every key of the header. The slot that opens the first opens the others too: who holds a passphrase or a token is asked once a key, not once a
// slot. It gives the slot's place.
func addKeys(r *keys.Ring, h header, ids []age.Identity) (slot int, err error) {
	for n, kh := range h.Keys {
		try := kh.Slots
		if n > 0 {
			try = try[slot : slot+1]
		}
		at, raw, err := unwrap(try, ids)
		if err != nil && n > 0 {
			return 0, corrupt("a key does not unwrap").Because(err)
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			slot = at
		}
		i, err := keys.ParseID(kh.ID)
		if err == nil {
			err = r.Add(i, raw)
		}
		clear(raw)
		if err != nil {
			return 0, corrupt("a key").Because(err)
		}
	}
	return slot, nil
}

// unwrap tries every slot and gives the place of the one that opens. No slot for any identity means the wrong identity; a slot that is ours by name or by trial
// and does not open means damage.
func unwrap(slots []Slot, ids []age.Identity) (int, []byte, error) {
	wrong := fault.New(fault.WrongIdentity, "no identity given opens this vault", "give the identity file that was made with the vault, or your own copy of it")
	if len(ids) == 0 {
		return 0, nil, wrong
	}
	var damaged error
	for n, s := range slots {
		raw, err := s.open(ids)
		if err == nil {
			return n, raw, nil
		}
		var none *age.NoIdentityMatchError
		var told *fault.Error
		switch {
		case errors.As(err, &told): // a plugin or a person in between: what they say is more than that it does not open
			return 0, nil, told
		case !errors.As(err, &none) || s.isFor(ids):
			damaged = corrupt("a key does not unwrap").Because(err)
		}
	}
	if damaged != nil {
		return 0, nil, damaged
	}
	return 0, nil, wrong
}

// open unwraps the slot's key with whichever identity fits. The caller wipes it.
func (s Slot) open(ids []age.Identity) ([]byte, error) {
	file, err := base64.StdEncoding.Strict().DecodeString(s.Wrapped)
	if err != nil {
		return nil, corrupt("a slot").Because(err)
	}
	return decrypt(file, ids)
}

func decrypt(file []byte, ids []age.Identity) ([]byte, error) {
	keys.OverwriteStack()
	defer keys.OverwriteStack()
	raw, err := decryptFile(file, ids...)
	if err == nil && len(raw) != keys.KeySize {
		clear(raw)
		return nil, keys.ErrKey
	}
	return raw, err
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
