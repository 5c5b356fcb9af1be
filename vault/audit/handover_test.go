package audit_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Who has not the former audit key makes no handover from it to a key of theirs, whatever else of an export is in order.
func TestAHandoverNeedsTheFormerKey(t *testing.T) {
	victim, err := keystest.Keyring(t).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	st, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ring := keys.New(keys.Options{})
	defer ring.Close()
	own, err := ring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k := keyring.FromRing(keystest.VaultID, ring)
	book := record.NewBook(k)
	l := audit.New(book, k, audit.Options{})
	mine, err := l.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	forged := audit.Handover{
		Format: 1, VaultID: keystest.VaultID, Key: keystest.ID.String(), PublicKey: hex.EncodeToString(victim), NextKey: own.String(), NextPublic: hex.EncodeToString(mine),
		Signature: strings.Repeat("00", 64),
	}
	rows := record.NewSet[audit.Handover](book, audit.Handovers)
	if err := st.Update(t.Context(), func(tx store.Tx) error { return errors.Join(l.Append(tx, event(0)), rows.Put(tx, forged.Key, forged)) }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := l.Export(t.Context(), st, &out); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.VerifyExport(bytes.NewReader(out.Bytes()), mine); err != nil {
		t.Errorf("the forger's own: %v", err)
	}
	if _, err := audit.VerifyExport(bytes.NewReader(out.Bytes()), victim); fault.CodeOf(err) != fault.AuditBroken {
		t.Errorf("the victim's: %v", err)
	}
}
