package keyring

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Format is the header's format number. Format 1, which named no slots, is read, and becomes 2 with the first change of a slot or key.
const Format = 2

// Limits of a header.
const (
	MaxHeader  = 1 << 20 // bytes
	maxKeys    = 64
	maxSlots   = 64
	maxWrapped = 16 << 10 // bytes of one slot
	maxScrypt  = 4        // passphrase slots of a key: each costs who unlocks by passphrase half a second and 256 MiB
)

const headerLabel = "keyring header 1"

// header is the JSON form. It has one spelling: Unlock refuses a header that would not be written byte for byte as it is, so no byte
// is without meaning.
type header struct {
	Format    int         `json:"format"`
	VaultID   string      `json:"vault_id"`
	CreatedAt time.Time   `json:"created_at"`
	Current   string      `json:"current"` // id of the key that seals
	Keys      []keyHeader `json:"keys"`
	MAC       string      `json:"mac"` // hex, under the current key, over the header with an empty mac
}

type keyHeader struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Slots     []Slot    `json:"slots"`
}

func (h header) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(h); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// seal sets the MAC under the current key and gives the bytes.
func (h header) seal(r *keys.Ring) ([]byte, error) {
	mac, err := h.mac(r)
	if err != nil {
		return nil, err
	}
	h.MAC = hex.EncodeToString(mac)
	return h.encode()
}

func (h header) mac(r *keys.Ring) ([]byte, error) {
	i, err := keys.ParseID(h.Current)
	if err != nil {
		return nil, err
	}
	h.MAC = ""
	body, err := h.encode()
	if err != nil {
		return nil, err
	}
	mac, err := r.MACBy(i, keys.Auth, headerLabel, body)
	return mac[:], err
}

// authentic checks the header against its MAC.
func (h header) authentic(r *keys.Ring) bool {
	want, err := h.mac(r)
	if err != nil {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(h.MAC), []byte(hex.EncodeToString(want))) == 1 // as text: upper-case hex is a changed byte too
}

func corrupt(what string) *fault.Error {
	return fault.New(fault.VaultCorrupt, "the vault's key header is damaged: "+what, "restore the vault from a backup")
}

// parseHeader reads a header strictly. Errors: fault vault_corrupt, vault_format.
func parseHeader(b []byte) (header, error) {
	var h header
	if len(b) == 0 || len(b) > MaxHeader {
		return h, corrupt("its size is wrong")
	}
	var probe struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &probe); err != nil {
		return h, corrupt("it is not readable").Because(err)
	}
	if probe.Format < 1 || probe.Format > Format {
		return h, fault.Newf(fault.VaultFormat, "the vault's key header has format %d, this zavhoz knows %d", probe.Format, Format).WithNext("upgrade zavhoz")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, corrupt("it is not readable").Because(err)
	}
	if again, err := h.encode(); err != nil || !bytes.Equal(again, b) {
		return h, corrupt("it is not as it was written")
	}
	return h, h.check()
}

func (h header) check() error {
	if !id.Is(h.VaultID, id.Vault) {
		return corrupt("the vault's id")
	}
	if len(h.Keys) == 0 || len(h.Keys) > maxKeys || h.Format < 2 && len(h.Keys) > 1 {
		return corrupt("the number of keys")
	}
	seen := map[string]bool{}
	for _, k := range h.Keys {
		if _, err := keys.ParseID(k.ID); err != nil || seen[k.ID] {
			return corrupt("a key's id")
		}
		seen[k.ID] = true
		if err := h.checkSlots(k.Slots); err != nil {
			return err
		}
	}
	if !seen[h.Current] {
		return corrupt("the current key")
	}
	return nil
}

// checkSlots holds the slots of one key against the limits and, in format 2, against those of the first key: each key is wrapped for the same recipients.
func (h header) checkSlots(slots []Slot) error {
	if len(slots) == 0 || len(slots) > maxSlots || h.Format >= 2 && len(slots) != len(h.Keys[0].Slots) {
		return corrupt("the number of slots")
	}
	ids, words := map[string]bool{}, 0
	for i, s := range slots {
		if err := s.check(h.Format); err != nil {
			return err
		}
		if s.Type == typeScrypt {
			words++
		}
		if h.Format >= 2 && (ids[s.ID] || s.ID != h.Keys[0].Slots[i].ID) {
			return corrupt("a slot's id")
		}
		ids[s.ID] = true
	}
	if words > maxScrypt {
		return corrupt("the number of passphrases")
	}
	return nil
}
