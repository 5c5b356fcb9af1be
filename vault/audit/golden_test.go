package audit_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// golden gives the committed export, which the export of a new log that fill fills must be byte by byte.
func golden(t *testing.T, name string, fill func(*audit.Log, store.Store, *keyring.Keyring) error) []byte {
	t.Helper()
	made := func() []byte {
		st, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		k := keystest.Keyring(t)
		l := audit.New(record.NewBook(k), k, audit.Options{Clock: func() time.Time { return time.Date(2026, 8, 1, 12, 0, 0, 5000, time.UTC) }})
		var out bytes.Buffer
		if err := fill(l, st, k); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Export(t.Context(), st, &out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	want := keystest.Golden(t, name, made)
	if got := made(); !bytes.Equal(got, want) {
		t.Errorf("written again:\n%s", got)
	}
	return want
}

// The committed export (header, records, checkpoint) verifies, and the same events give the same bytes.
func TestGoldenExport(t *testing.T) {
	want := golden(t, "audit_export.golden", func(l *audit.Log, st store.Store, _ *keyring.Keyring) error {
		return st.Update(t.Context(), func(tx store.Tx) error {
			for i := range 3 {
				if err := l.Append(tx, event(i)); err != nil {
					return err
				}
			}
			return l.AppendCount(tx, audit.Event{Actor: audit.Actor{Type: audit.System, Name: "sync"}, Action: audit.ServerSync, Outcome: audit.Failed, Code: "provider_reply"}, 3)
		})
	})
	pub, err := keystest.Keyring(t).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := audit.VerifyExport(bytes.NewReader(want), pub); err != nil || rep.Records != 4 || rep.SelfSigned {
		t.Errorf("%+v %v", rep, err)
	}
	if !strings.Contains(string(want), `"host":"api.example <&>"`) {
		t.Error("a text is escaped that JSON need not escape")
	}
}

// The committed export of a vault whose data key was replaced is of format 2: it holds the handover, verifies by the present key and by the former one, and the same
// events give the same bytes.
func TestGoldenExportAfterARotation(t *testing.T) {
	want := golden(t, "audit_export2.golden", func(l *audit.Log, st store.Store, k *keyring.Keyring) error {
		ring := k.Ring(keys.Warrant{})
		next, err := ring.Fresh()
		if err != nil {
			return err
		}
		err = st.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(l.Append(tx, event(0)), l.HandOver(tx, next.String()))
		})
		return errors.Join(err, ring.Use(next))
	})
	former, err := keystest.Keyring(t).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := audit.VerifyExport(bytes.NewReader(want), former); err != nil || rep.Records != 1 || !rep.FormerKey {
		t.Errorf("%+v %v", rep, err)
	}
	if !bytes.HasPrefix(want, []byte(`{"format":2,`)) {
		t.Error("it is of another format")
	}
	for _, bad := range []string{`"format":1,`, `"format":3,`} {
		if _, err := audit.VerifyExport(bytes.NewReader(bytes.Replace(want, []byte(`"format":2,`), []byte(bad), 1)), former); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
