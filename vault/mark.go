package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Mark is what a home keeps of a vault that lies elsewhere, to know it again. It holds nothing secret.
type Mark struct {
	Format   int        `json:"format"` // 1
	VaultID  string     `json:"vault_id"`
	AuditKey string     `json:"audit_key"` // hex Ed25519: comes from the data key, so no other vault has it
	Head     audit.Head `json:"head"`      // the last record of this process's chain; Seq 0: none
}

// Mark gives that of the present moment. The vault must be unlocked.
func (v *Vault) Mark(ctx context.Context) (Mark, error) {
	pub, err := v.k.PublicKey()
	if err != nil {
		return Mark{}, err
	}
	m := Mark{Format: 1, VaultID: v.ID(), AuditKey: hex.EncodeToString(pub)}
	err = v.view(waking(ctx), func(tx store.Tx) (err error) {
		m.Head, err = v.audit.End(tx)
		return err
	})
	return m, err
}

// Recognise refuses a vault that is not the marked one, or is an earlier state of it, or went another way since: record_tampered. A data key that was replaced since is
// followed by what the former audit keys signed. It writes nothing, and passes a Gate that is waking.
func (v *Vault) Recognise(ctx context.Context, m Mark) error {
	key, err := hex.DecodeString(m.AuditKey)
	if err != nil || len(key) != ed25519.PublicKeySize || m.Format != 1 {
		return strange("what the home remembers of it cannot be read")
	}
	if err := m.Is(v.ID()); err != nil {
		return err
	}
	return v.view(waking(ctx), func(tx store.Tx) error {
		same, err := v.audit.Succeeds(tx, key)
		if err != nil {
			return err
		}
		if !same {
			return strange("its keys are others, and nothing that the former signed leads to them")
		}
		there, err := v.audit.Holds(tx, m.Head)
		if err == nil && !there {
			err = strange("audit records that this home saw are missing, or are others: it is an earlier state, or another history")
		}
		return err
	})
}

// Is refuses another vault than the marked one, which its header tells before anything of it can be read: record_tampered.
func (m Mark) Is(vaultID string) error {
	if m.VaultID == vaultID {
		return nil
	}
	return strange("it is " + vaultID + ", and this home knows " + m.VaultID)
}

func strange(why string) *fault.Error {
	return fault.New(fault.RecordTampered, "the database does not hold the vault that this home knows: "+why,
		"find out who did that: docs/postgresql.md; where it was meant (a restore, another vault), a person starts it once with `zavhoz serve --accept-store`")
}
