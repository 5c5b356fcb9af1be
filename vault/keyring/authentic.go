package keyring

import (
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// HeaderMAC authenticates parts under the key that a header calls current and a label of the caller's: what was written beside that header is checked with
// it later, whatever key is current in the ring by then. Errors: fault vault_corrupt, vault_format (of the header), busy (the ring holds that key no more).
func (k *Keyring) HeaderMAC(header []byte, label string, parts ...[]byte) ([32]byte, error) {
	h, err := parseHeader(header)
	if err != nil {
		return [32]byte{}, err
	}
	i, err := keys.ParseID(h.Current)
	if err != nil {
		return [32]byte{}, corrupt("the current key")
	}
	mac, err := k.ring.MACBy(i, keys.Auth, "mac "+label, parts...)
	if k.ring.Closed() {
		return mac, Fault(keys.ErrClosed)
	}
	if err != nil {
		return mac, fault.New(fault.Busy, "the vault's data key was changed meanwhile", "try again").Because(err)
	}
	return mac, nil
}

// VaultOf reads the vault's id from a header, unauthenticated. Errors: fault vault_corrupt, vault_format.
func VaultOf(header []byte) (string, error) {
	h, err := parseHeader(header)
	return h.VaultID, err
}
