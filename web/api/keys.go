package api

import "time"

// Keys tells who can open the vault, and how far a rotation of its data key is. Nothing of it opens anything.
type Keys struct {
	VaultID  string    `json:"vault_id"`
	Key      string    `json:"key"`       // id of the data key that seals
	KeySince time.Time `json:"key_since"` // when it was made
	Slots    []Slot    `json:"slots"`
	Rotation *Rotation `json:"rotation,omitempty"` // that is under way
	Warnings []string  `json:"warnings,omitempty"`
}

// Slot is one recipient's wrapping of the data key.
type Slot struct {
	ID          string    `json:"id"` // 8 hex characters
	Label       string    `json:"label,omitempty"`
	Type        string    `json:"type"`                // of the age stanza: X25519, mlkem768x25519, scrypt, ssh-ed25519, ssh-rsa, or a plugin's
	Recipient   string    `json:"recipient,omitempty"` // its public text; a passphrase has none
	PostQuantum bool      `json:"post_quantum"`
	Since       time.Time `json:"since"`
	Unlocks     bool      `json:"unlocks,omitempty"` // the daemon unlocked the vault by it
}

// NewSlot asks for a slot: for a recipient, or for a passphrase.
type NewSlot struct {
	Recipient  string `json:"recipient,omitempty"`
	Passphrase Value  `json:"passphrase,omitempty"`
	Label      string `json:"label,omitempty"`
}

// Rotate asks for a new data key. Passphrases are those of the slots that have one, in any order.
type Rotate struct {
	Passphrases []Value `json:"passphrases,omitempty"`
}

// Rotation is how far a rotation is.
type Rotation struct {
	From    string    `json:"from"` // id of the former data key
	To      string    `json:"to"`
	BegunAt time.Time `json:"begun_at"`
	Total   uint64    `json:"total"`          // records when it began
	Done    uint64    `json:"done"`           // records that were sealed anew
	Code    string    `json:"code,omitempty"` // why it does not get on
	Message string    `json:"message,omitempty"`
	Next    string    `json:"next,omitempty"`
}

// KeyHeader is the vault's key header as it is kept, for trying an identity against it where that identity is.
type KeyHeader struct {
	Header string `json:"header"`
}
