package keyring

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Key is a data key of a header, as people may know it.
type Key struct {
	ID        string
	CreatedAt time.Time
}

// Overview is what a header says to who has no key: unauthenticated, for people to read.
type Overview struct {
	VaultID string
	Current Key
	Older   []Key // that still open what was not sealed anew since a rotation began
	Slots   []Slot
}

// Look reads a header without unlocking it. Errors: vault_corrupt, vault_format.
func Look(b []byte) (Overview, error) {
	h, err := parseHeader(b)
	if err != nil {
		return Overview{}, err
	}
	h = h.upgraded()
	o := Overview{VaultID: h.VaultID, Slots: h.Keys[0].Slots}
	for _, k := range h.Keys {
		if key := (Key{k.ID, k.CreatedAt}); k.ID == h.Current {
			o.Current, o.Slots = key, k.Slots
		} else {
			o.Older = append(o.Older, key)
		}
	}
	return o, nil
}

// Slots lists the slots of a header's current key without unlocking it: unauthenticated, for people to read.
func Slots(b []byte) ([]Slot, error) {
	o, err := Look(b)
	return o.Slots, err
}

// Opens tells which slots of the header the identities open, by their ids, for every key of it. Nothing is kept of what they open, and the header's own MAC is checked
// with it: a header that somebody changed is vault_corrupt. Errors: wrong_identity where none opens.
func Opens(b []byte, ids []age.Identity) ([]string, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	r := keys.New(keys.Options{})
	defer r.Close()
	slot, err := addKeys(r, h, ids)
	if err != nil {
		return nil, err
	}
	if !h.authentic(r) {
		return nil, corrupt("its authentication fails")
	}
	var found []string
	for n, s := range h.upgraded().key(h.Current).Slots {
		if n == slot { // it has opened every key: who was asked for a PIN is not asked again
			found = append(found, s.ID)
			continue
		}
		raw, err := s.open(ids)
		if err == nil {
			found = append(found, s.ID)
		}
		clear(raw)
	}
	return found, nil
}

// mine reads a header of this vault and authenticates it: nobody adds a recipient to a header that somebody changed.
func (k *Keyring) mine(b []byte) (header, error) {
	h, err := parseHeader(b)
	if err != nil {
		return h, err
	}
	if k.Closed() {
		return h, Fault(keys.ErrClosed)
	}
	if h.VaultID != k.vault || !h.authentic(k.ring) {
		return h, corrupt("its authentication fails")
	}
	return h.upgraded(), nil
}

func (k *Keyring) sealed(h header) ([]byte, error) {
	b, err := h.seal(k.ring)
	if err != nil {
		return nil, Fault(err)
	}
	if _, err := parseHeader(b); err != nil {
		return nil, fmt.Errorf("keyring: the header that was made is not one: %w", err)
	}
	return b, nil
}

// AddSlot wraps every data key of the header for one more recipient and gives the new header. Errors: name_taken (the recipient or label is there), invalid_argument,
// not_supported (a plugin's program does not do its part), vault_corrupt, vault_locked.
func (k *Keyring) AddSlot(b []byte, to age.Recipient, label string, now time.Time) ([]byte, Slot, error) {
	h, err := k.mine(b)
	if err != nil {
		return nil, Slot{}, err
	}
	s, err := k.addSlot(&h, to, label, now)
	if err != nil {
		return nil, Slot{}, err
	}
	b, err = k.sealed(h)
	return b, s, err
}

func (k *Keyring) addSlot(h *header, to age.Recipient, label string, now time.Time) (Slot, error) {
	if err := CheckLabel(label); err != nil {
		return Slot{}, err
	}
	slotID := make([]byte, slotIDSize)
	_, _ = rand.Read(slotID)
	name := Slot{ID: hex.EncodeToString(slotID), Label: label, AddedAt: now.UTC().Truncate(time.Second)}
	text := textOf(to)
	words := 0
	for _, s := range h.Keys[0].Slots {
		switch {
		case text != "" && s.Recipient == text:
			return Slot{}, fault.New(fault.NameTaken, "the vault is wrapped for this recipient already, by the slot "+s.Name(), "nothing is left to do; `zavhoz key list` shows the slots")
		case label != "" && (s.Label == label || s.ID == label), s.ID == name.ID:
			return Slot{}, fault.New(fault.NameTaken, "another slot has this name", "choose another label")
		case s.IsPassphrase():
			words++
		}
	}
	if len(h.Keys[0].Slots) >= maxSlots {
		return Slot{}, invalid(fmt.Sprintf("a vault has at most %d recipients", maxSlots), "remove one: `zavhoz key remove`")
	}
	for i := range h.Keys {
		s, err := k.wrapKey(h.Keys[i].ID, to, name)
		if err != nil {
			return Slot{}, err
		}
		if s.IsPassphrase() && words >= maxScrypt {
			return Slot{}, invalid(fmt.Sprintf("a vault has at most %d passphrases", maxScrypt), "remove one: `zavhoz key remove`")
		}
		h.Keys[i].Slots = append(slices.Clip(h.Keys[i].Slots), s)
	}
	return h.Keys[len(h.Keys)-1].Slots[len(h.Keys[0].Slots)-1], nil
}

// wrapKey wraps one data key of the ring for a recipient; what the slot is called comes from name.
func (k *Keyring) wrapKey(key string, to age.Recipient, name Slot) (Slot, error) {
	i, err := keys.ParseID(key)
	if err != nil {
		return Slot{}, corrupt("a key's id")
	}
	var s Slot
	err = k.ring.Wrap(i, func(raw []byte) (err error) {
		s, err = wrap(raw, to)
		return err
	})
	if err != nil {
		if f := fault.Of(Fault(err)); f.Code != fault.Internal {
			return Slot{}, f
		}
		return Slot{}, fault.New(fault.NotSupported, "the data key cannot be wrapped for this recipient", "see whether `age -r` takes it").Because(err)
	}
	if name.Recipient != "" && s.Recipient != name.Recipient {
		return Slot{}, corrupt("a recipient")
	}
	s.ID, s.Label, s.AddedAt = name.ID, name.Label, name.AddedAt
	return s, nil
}

// FindSlot finds a slot by id, label or recipient. Error: invalid_argument.
func FindSlot(slots []Slot, name string) (Slot, error) {
	for _, is := range []func(Slot) bool{
		func(s Slot) bool { return s.ID == name }, func(s Slot) bool { return s.Label == name }, func(s Slot) bool { return s.Recipient == name },
	} {
		if i := slices.IndexFunc(slots, is); i >= 0 && name != "" {
			return slots[i], nil
		}
	}
	return Slot{}, invalid("there is no such slot", "`zavhoz key list` shows them")
}

// RemoveSlot takes a recipient's slot from every key and gives the new header. It locks the recipient out of this header only: who unwrapped the data key before, or
// has an older copy of the vault, needs Rotate to be locked out of what is written from then on. Errors: invalid_argument (no such slot), not_permitted (it is the last).
func (k *Keyring) RemoveSlot(b []byte, name string) ([]byte, Slot, error) {
	h, err := k.mine(b)
	if err != nil {
		return nil, Slot{}, err
	}
	s, err := FindSlot(h.Keys[0].Slots, name)
	if err != nil {
		return nil, s, err
	}
	if len(h.Keys[0].Slots) == 1 {
		return nil, s, fault.New(fault.NotPermitted, "it is the last slot: nobody could open the vault any more", "add another recipient first: `zavhoz key add`")
	}
	for i, key := range h.Keys {
		h.Keys[i].Slots = slices.DeleteFunc(slices.Clone(key.Slots), func(x Slot) bool { return x.ID == s.ID })
	}
	b, err = k.sealed(h)
	return b, s, err
}

// BeginRotation makes a new data key, wraps it for each slot's recipient, which find gives, and makes it the header's current one. The ring goes on sealing under
// the old key until Adopt: a key that is not durable must seal nothing. Errors: what find gives, resource_busy (one is under way).
func (k *Keyring) BeginRotation(b []byte, now time.Time, find func(Slot) (age.Recipient, error)) (next []byte, key string, err error) {
	h, err := k.mine(b)
	if err != nil {
		return nil, "", err
	}
	if len(h.Keys) > 1 {
		return nil, "", fault.New(fault.ResourceBusy, "a rotation is under way", "`zavhoz key list` shows how far it is")
	}
	i, err := k.ring.Fresh()
	if err != nil {
		return nil, "", Fault(err)
	}
	defer func() {
		if err != nil {
			k.Drop(i.String())
		}
	}()
	fresh := keyHeader{ID: i.String(), CreatedAt: now.UTC().Truncate(time.Second)}
	for _, s := range h.Keys[0].Slots {
		to, err := find(s)
		if err != nil {
			return nil, "", err
		}
		again, err := k.wrapKey(fresh.ID, to, s)
		if err != nil {
			return nil, "", err
		}
		if s.IsPassphrase() != again.IsPassphrase() {
			return nil, "", corrupt("a recipient")
		}
		fresh.Slots = append(fresh.Slots, again)
	}
	h.Keys, h.Current = append(h.Keys, fresh), fresh.ID
	next, err = k.sealed(h)
	return next, fresh.ID, err
}

// EndRotation gives the header with its current key alone. Who calls has made sure that nothing is sealed under another.
func (k *Keyring) EndRotation(b []byte) ([]byte, error) {
	h, err := k.mine(b)
	if err != nil {
		return nil, err
	}
	h.Keys = []keyHeader{*h.key(h.Current)}
	return k.sealed(h)
}

// Adopt makes the header's current key the one that seals: once the header is durable.
func (k *Keyring) Adopt(b []byte) error {
	h, err := parseHeader(b)
	if err != nil {
		return err
	}
	k.follow.Lock()
	defer k.follow.Unlock()
	if k.isFormer(h.Current) { // the header is one of a moment ago
		return nil
	}
	return k.use(h.Current)
}

// Drop wipes a data key that the header does not hold (any more). The current one stays.
func (k *Keyring) Drop(key string) {
	if i, err := keys.ParseID(key); err == nil {
		_ = k.ring.Remove(i)
	}
}

// Current is the id of the data key that seals.
func (k *Keyring) Current() string { return k.ring.Current().String() }

// Seals tells whether a sealed text is under the data key that seals now.
func (k *Keyring) Seals(sealed string) bool {
	return strings.HasPrefix(sealed, Trace(k.Current()))
}

// Trace is how every text sealed under a data key begins: for finding what is left of a former one. It is the whole bytes' part of the id in base64, 60 of 64 bits.
func Trace(key string) string {
	i, err := keys.ParseID(key)
	if err != nil {
		return Prefix
	}
	text := base64.RawURLEncoding.EncodeToString(i[:])
	return Prefix + text[:len(text)-1]
}

// OpensBy tells whether a passphrase opens the slot. It takes half a second where the slot is a passphrase's.
func (s Slot) OpensBy(p secret.Secret) bool {
	i, err := PassphraseIdentity(p)
	if err != nil || !s.IsPassphrase() {
		return false
	}
	raw, err := s.open([]age.Identity{i})
	clear(raw)
	return err == nil
}
