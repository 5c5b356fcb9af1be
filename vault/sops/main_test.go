package sops_test

import (
	"os"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

func TestMain(m *testing.M) { sopstest.Main(m) }

func newCodec(t testing.TB) *sops.Codec {
	t.Helper()
	return sops.New(sops.Options{Helper: sopstest.Helper(t)})
}

func ids(p ...*sopstest.Person) (out []age.Identity) {
	for _, x := range p {
		out = append(out, x.Identity)
	}
	return out
}

func write(t testing.TB, path string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at walks to a value of a tree's first document.
func at(t testing.TB, tree wire.Tree, path ...string) string {
	t.Helper()
	n := tree.Documents[0]
	for _, p := range path {
		var ok bool
		if n, ok = n.Get(p); !ok {
			t.Fatalf("there is no %v", path)
		}
	}
	return string(n.Text.Reveal())
}

func str(s string) wire.Node { return wire.Node{Kind: wire.String, Text: secret.FromString(s)} }

func put(v string, path ...string) wire.Change { return wire.Change{Path: path, Value: str(v)} }

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}
