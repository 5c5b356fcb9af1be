package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

// exported gives a small export of two writers and the key that verifies it.
func exported(t testing.TB) ([]byte, ed25519.PublicKey) {
	t.Helper()
	w := newWorld(t)
	w.fill(3)
	w.add(w.writer("second"), event(7))
	var out bytes.Buffer
	rep, err := w.log.Export(t.Context(), w.st, &out)
	if err != nil || rep.Records != 4 {
		t.Fatalf("%+v %v", rep, err)
	}
	pub, err := w.log.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), pub
}

func TestAnExportVerifiesOffline(t *testing.T) {
	b, pub := exported(t)
	rep, err := audit.VerifyExport(bytes.NewReader(b), pub)
	if err != nil || rep.Records != 4 || len(rep.Heads) != 2 || rep.SelfSigned || rep.First.IsZero() || !rep.Last.After(rep.First) {
		t.Errorf("%+v %v", rep, err)
	}
	rep, err = audit.VerifyExport(iotest.OneByteReader(bytes.NewReader(b)), nil)
	if err != nil || !rep.SelfSigned {
		t.Errorf("by its own key: %+v %v", rep, err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.VerifyExport(bytes.NewReader(b), other); fault.CodeOf(err) != fault.AuditBroken {
		t.Errorf("another's key: %v", err)
	}
	w := newWorld(t)
	var empty bytes.Buffer
	if _, err := w.log.Export(t.Context(), w.st, &empty); err != nil {
		t.Fatal(err)
	}
	if rep, err := audit.VerifyExport(&empty, nil); err != nil || rep.Records != 0 {
		t.Errorf("an empty log: %+v %v", rep, err)
	}
}

// There is no byte of an export that may be changed, lost or added.
func TestEveryByteOfAnExportCounts(t *testing.T) {
	b, _ := exported(t)
	refused := func(what string, at int, bad []byte) {
		t.Helper()
		_, err := audit.VerifyExport(bytes.NewReader(bad), nil)
		if code := fault.CodeOf(err); code != fault.AuditBroken && code != fault.VaultFormat {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
	}
	for i := range b {
		flipped := bytes.Clone(b)
		flipped[i] ^= []byte{0x20, 0x20, 0x01}[i%3] // 0x20 is the other case of a letter
		refused("a flip", i, flipped)
		refused("a lost byte", i, slices.Delete(bytes.Clone(b), i, i+1))
		refused("a cut", i, b[:i])
		refused("an added byte", i, slices.Insert(bytes.Clone(b), i, ' '))
	}
	for _, tail := range []string{" ", "\n", "{}\n", string(b)} {
		refused("a tail", len(b), append(bytes.Clone(b), tail...))
	}
}

func TestEveryLineOfAnExportCounts(t *testing.T) {
	b, _ := exported(t)
	lines := bytes.SplitAfter(b, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := range lines {
		gone := slices.Delete(slices.Clone(lines), i, i+1)
		twice := slices.Insert(slices.Clone(lines), i, lines[i])
		for name, bad := range map[string][][]byte{"removed": gone, "doubled": twice} {
			if _, err := audit.VerifyExport(bytes.NewReader(bytes.Join(bad, nil)), nil); fault.CodeOf(err) != fault.AuditBroken {
				t.Errorf("line %d %s: %v", i, name, err)
			}
		}
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if _, err := audit.VerifyExport(bytes.NewReader(bytes.Join(swapped, nil)), nil); fault.CodeOf(err) != fault.AuditBroken {
				t.Errorf("lines %d and %d swapped: %v", i, j, err)
			}
		}
	}
}

func TestHostileExportsAreBounded(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"empty": strings.NewReader(""), "endless line": io.LimitReader(zeros{}, 64<<20), "binary": strings.NewReader("\x00\xff\n\n\n"),
		"deep": strings.NewReader(strings.Repeat("[", 1<<19) + "\n"),
	} {
		if _, err := audit.VerifyExport(r, nil); fault.CodeOf(err) != fault.AuditBroken {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := exported(t)
	failing := io.MultiReader(bytes.NewReader(b[:len(b)-10]), iotest.ErrReader(errors.New("disk")))
	if _, err := audit.VerifyExport(failing, nil); err == nil || fault.CodeOf(err) == fault.AuditBroken {
		t.Errorf("a failing reader is no broken export: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzVerifyExport(f *testing.F) {
	b := keystest.Golden(f, "audit_export.golden", nil) // one for all of the fuzzer's processes
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"format":1,"type":"zavhoz-audit-export"}` + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := audit.VerifyExport(bytes.NewReader(in), nil); err == nil && !bytes.Equal(in, b) {
			t.Error("an export that nobody wrote verifies")
		}
	})
}
