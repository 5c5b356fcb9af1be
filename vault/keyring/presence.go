package keyring

import (
	"crypto/rand"
	"crypto/subtle"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Presence is what is kept of the operator's passphrase, by which a person proves to be there: a slow hash with its parameters. It is
// stored as a record (and so under a MAC): a row edited to a known passphrase is refused.
type Presence struct {
	Format   int       `json:"format"`    // 1
	KDF      string    `json:"kdf"`       // argon2id
	Time     uint32    `json:"time"`      // passes
	MemoryKB uint32    `json:"memory_kb"` // KiB
	Threads  uint8     `json:"threads"`
	Salt     []byte    `json:"salt"`
	Hash     []byte    `json:"hash"`
	SetAt    time.Time `json:"set_at"`

	// Of a proof by a key there is nothing above but Format, KDF (age) and SetAt: who can open what is encrypted to Recipient is the person.
	By        string `json:"by,omitempty"`        // ByPlugin, ByKeyring; "": a passphrase
	Recipient string `json:"recipient,omitempty"` // age1…
	Identity  string `json:"identity,omitempty"`  // ByPlugin: what tells the plugin which key it is; it opens nothing without the device
}

// The proofs of presence besides a passphrase.
const (
	ByPlugin  = "plugin"  // a key that an age plugin reaches: a device that wants to be touched
	ByKeyring = "keyring" // a key in the system's keyring
)

// Bounds of the parameters: a record of ours never passes them, so a damaged one cannot ask for the machine's whole memory.
const (
	presenceTime   = 3
	presenceMemory = 64 << 10 // KiB
	maxMemory      = 1 << 20  // KiB
	maxTime        = 16
	presenceHash   = 32
	presenceSalt   = 16
	// MinPassphrase and MaxPassphrase bound a passphrase, in bytes.
	MinPassphrase = 8
	MaxPassphrase = 1024
)

// HashPassphrase makes the Presence of a passphrase. It takes tens of milliseconds and 64 MiB. Error: fault secret_invalid.
func HashPassphrase(s secret.Secret, now time.Time) (Presence, error) {
	if s.Len() < MinPassphrase || s.Len() > MaxPassphrase {
		return Presence{}, fault.Newf(fault.SecretInvalid, "a passphrase has between %d and %d bytes", MinPassphrase, MaxPassphrase)
	}
	p := Presence{Format: 1, KDF: "argon2id", Time: presenceTime, MemoryKB: presenceMemory, Threads: 1, Salt: make([]byte, presenceSalt), SetAt: now.UTC()}
	_, _ = rand.Read(p.Salt)
	p.Hash = p.hash(s)
	return p, nil
}

// Check tells whether s is the passphrase, in constant time. A zero Presence, or one whose parameters we would not write, matches nothing.
func (p Presence) Check(s secret.Secret) bool {
	if !p.sound() || s.Len() > MaxPassphrase {
		return false
	}
	return subtle.ConstantTimeCompare(p.hash(s), p.Hash) == 1
}

func (p Presence) sound() bool {
	return p.Format == 1 && p.KDF == "argon2id" && p.Time >= 1 && p.Time <= maxTime && p.MemoryKB >= 8 && p.MemoryKB <= maxMemory &&
		p.Threads >= 1 && len(p.Salt) == presenceSalt && len(p.Hash) == presenceHash
}

func (p Presence) hash(s secret.Secret) []byte {
	return argon2.IDKey(s.Reveal(), p.Salt, p.Time, p.MemoryKB, p.Threads, presenceHash)
}
