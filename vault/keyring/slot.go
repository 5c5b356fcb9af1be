package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Slot is one recipient's wrapping of a data key.
type Slot struct {
	ID          string    `json:"id,omitempty"`           // 8 hex characters, the same for every key of the header; absent in format 1
	Label       string    `json:"label,omitempty"`        // a name for people
	Recipient   string    `json:"recipient,omitempty"`    // its public text, where it has one
	Type        string    `json:"type"`                   // of the age stanza: X25519, mlkem768x25519, scrypt, ssh-ed25519, …
	PostQuantum bool      `json:"post_quantum,omitempty"` // the recipient says that it withstands a quantum computer
	AddedAt     time.Time `json:"added_at,omitzero"`      // absent in format 1
	Wrapped     string    `json:"wrapped"`                // base64 of an age file
}

// The stanza types that are handled by name.
const (
	typeScrypt = "scrypt"
	typeHybrid = "mlkem768x25519"
)

const (
	slotIDSize = 4  // bytes
	maxLabel   = 64 // bytes of a label
	maxType    = 64 // bytes of a stanza's type
)

// IsPassphrase tells whether the slot opens by a passphrase: it has no recipient, so nothing is wrapped for it again without that passphrase.
func (s Slot) IsPassphrase() bool { return s.Type == typeScrypt }

// Name is what a person calls the slot: its label, else its id.
func (s Slot) Name() string {
	if s.Label != "" {
		return s.Label
	}
	return s.ID
}

// check refuses what we never write. The type must be the age file's own, or a passphrase could hide under another name.
func (s Slot) check(format int) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(s.Wrapped)
	if err != nil || len(raw) > maxWrapped {
		return corrupt("a slot")
	}
	if format < 2 {
		if s.ID != "" || s.Label != "" || s.PostQuantum || !s.AddedAt.IsZero() {
			return corrupt("a slot of another format")
		}
	} else if b, err := hex.DecodeString(s.ID); err != nil || len(b) != slotIDSize || hex.EncodeToString(b) != s.ID || CheckLabel(s.Label) != nil {
		return corrupt("a slot's name")
	}
	st, ok := stanzasOf(raw)
	if s.Type == typeScrypt || ok && st.scrypt {
		if !ok || s.Type != typeScrypt || st.count != 1 || st.work > MaxWork {
			return corrupt("a passphrase slot that costs too much, or is none")
		}
	}
	return nil
}

// derivedID names a slot of format 1 by what it holds.
func derivedID(vault string, s Slot) string {
	sum := sha256.Sum256([]byte("zavhoz slot 1\x00" + vault + "\x00" + s.Wrapped))
	return hex.EncodeToString(sum[:slotIDSize])
}

// CheckLabel refuses a label that is too long or does not show as it is. "" is none.
func CheckLabel(label string) error {
	if len(label) > maxLabel || !utf8.ValidString(label) || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(label) != label {
		return invalid("a label has at most 64 bytes of printable text, without spaces around it", "choose another label")
	}
	return nil
}

// upgraded gives the header in the present format.
func (h header) upgraded() header {
	if h.Format >= 2 {
		return h
	}
	h.Format = Format
	k := h.Keys[0] // format 1 never had more
	slots := make([]Slot, len(k.Slots))
	for i, s := range k.Slots {
		s.ID, s.AddedAt, s.PostQuantum = derivedID(h.VaultID, s), k.CreatedAt, s.Type == typeHybrid
		slots[i] = s
	}
	k.Slots = slots
	h.Keys = []keyHeader{k}
	return h
}

// key finds a key of the header; nil: there is none.
func (h header) key(id string) *keyHeader {
	for i := range h.Keys {
		if h.Keys[i].ID == id {
			return &h.Keys[i]
		}
	}
	return nil
}

// stanzas is what the head of an age file tells without any key.
type stanzas struct {
	count  int
	scrypt bool
	work   int // of scrypt: the log of its cost
}

// stanzasOf reads the stanzas' first lines.
func stanzasOf(file []byte) (s stanzas, ok bool) {
	head, _, ok := bytes.Cut(file, []byte("\n---"))
	if !ok {
		return s, false
	}
	for _, line := range strings.Split(string(head), "\n")[1:] {
		words, is := strings.CutPrefix(line, "-> ")
		if !is {
			continue
		}
		s.count++
		f := strings.Fields(words)
		if len(f) == 0 || f[0] != typeScrypt {
			continue
		}
		s.scrypt, s.work = true, MaxWork+1
		if n, err := strconv.Atoi(f[len(f)-1]); err == nil && len(f) == 3 && n > 0 {
			s.work = n
		}
	}
	return s, s.count > 0
}

// labelled passes on to a recipient and remembers what age asked it: its labels, which age compares among recipients, and the type of its stanza.
type labelled struct {
	to     age.Recipient
	labels []string
	typ    string
}

// Wrap implements age.Recipient.
func (l *labelled) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	st, _, err := l.WrapWithLabels(fileKey)
	return st, err
}

// WrapWithLabels implements age.RecipientWithLabels.
func (l *labelled) WrapWithLabels(fileKey []byte) (st []*age.Stanza, labels []string, err error) {
	if to, ok := l.to.(age.RecipientWithLabels); ok {
		st, labels, err = to.WrapWithLabels(fileKey)
	} else {
		st, err = l.to.Wrap(fileKey)
	}
	if err == nil && len(st) > 0 {
		l.typ = st[0].Type
	}
	l.labels = labels
	return st, labels, err
}

// wrap makes one age file for one recipient: age refuses to mix some kinds of recipient in one file.
func wrap(raw []byte, to age.Recipient) (Slot, error) {
	var b bytes.Buffer
	l := &labelled{to: to}
	w, err := age.Encrypt(&b, l)
	if err != nil {
		return Slot{}, err
	}
	if _, err := w.Write(raw); err != nil {
		return Slot{}, err
	}
	if err := w.Close(); err != nil {
		return Slot{}, err
	}
	if b.Len() > maxWrapped || len(l.typ) > maxType {
		return Slot{}, keys.ErrKey
	}
	s := Slot{Type: l.typ, Wrapped: base64.StdEncoding.EncodeToString(b.Bytes())}
	for _, label := range l.labels {
		s.PostQuantum = s.PostQuantum || label == "postquantum"
	}
	if text := textOf(to); len(text) <= maxText {
		s.Recipient = text
	}
	return s, nil
}

// Withstands tells whether the slot is thought to withstand a quantum computer: its recipient says so, or it is a passphrase's, whose wrapping is symmetric.
func (s Slot) Withstands() bool { return s.PostQuantum || s.IsPassphrase() }
