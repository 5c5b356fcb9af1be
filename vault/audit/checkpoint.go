package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

const (
	checkpointType   = "zavhoz-audit-checkpoint"
	checkpointDomain = "zavhoz audit checkpoint 1\x00"
)

// Checkpoint joins the heads of all chains at one moment, signed. One is kept every thousand records of a chain; one ends each export and
// then covers all lines before it.
type Checkpoint struct {
	Format    int       `json:"format"` // 1
	Type      string    `json:"type"`   // zavhoz-audit-checkpoint
	VaultID   string    `json:"vault_id"`
	Time      time.Time `json:"time"`
	Heads     []Head    `json:"heads"`
	Records   uint64    `json:"records,omitempty"` // of an export: how many lines of records
	Digest    string    `json:"digest,omitempty"`  // of an export: hex SHA-256 over all bytes before this line
	Key       string    `json:"key"`               // id of the data key that the audit key comes from
	Signature string    `json:"signature"`         // hex Ed25519, over the domain and the checkpoint with an empty signature
}

func (c Checkpoint) seqOf(writer string) uint64 {
	for _, h := range c.Heads {
		if h.Writer == writer {
			return h.Seq
		}
	}
	return 0
}

func (c Checkpoint) encode() ([]byte, error) { return oneLine(c) }

func oneLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil // with its line end
}

func (c Checkpoint) message() ([]byte, error) {
	c.Signature = ""
	b, err := c.encode()
	return append([]byte(checkpointDomain), b...), err
}

// checkpoint signs the heads as they are now.
func (l *Log) checkpoint(tx store.Tx) (Checkpoint, error) {
	heads, err := l.ends(tx)
	if err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{Format: 1, Type: checkpointType, VaultID: l.k.VaultID(), Time: l.now().UTC(), Heads: heads, Key: l.ring.Current().String()}
	return l.sign(c)
}

func (l *Log) sign(c Checkpoint) (Checkpoint, error) {
	message, err := c.message()
	if err != nil {
		return c, err
	}
	_, sig, err := l.ring.Sign(message)
	if err != nil {
		return c, keyring.Fault(err)
	}
	c.Signature = hex.EncodeToString(sig)
	return c, nil
}

// signedBy checks the signature.
func (c Checkpoint) signedBy(pub ed25519.PublicKey) bool {
	message, err := c.message()
	if err != nil || len(pub) != ed25519.PublicKeySize {
		return false
	}
	sig, err := hex.DecodeString(c.Signature)
	return err == nil && hex.EncodeToString(sig) == c.Signature && ed25519.Verify(pub, message, sig)
}
