package rotate

import (
	"bytes"
	"crypto/ed25519"
	"os/exec"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
)

// key is a public key that is always the same.
func key(t testing.TB, seed byte) xssh.PublicKey {
	t.Helper()
	k, err := xssh.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)).Public())
	must(t, err)
	return k
}

func TestLinesOfAuthorizedKeys(t *testing.T) {
	oldKey, freshKey, otherKey := key(t, 1), key(t, 2), key(t, 3)
	names := strings.NewReplacer("OLD", line(oldKey), "NEW", line(freshKey), "OTHER", line(otherKey), "B64", strings.Fields(line(oldKey))[1])
	for name, c := range map[string]struct {
		was, added string
		n          int
	}{
		"alone":                    {"OLD\n", "OLD\nNEW\n", 1},
		"without a line end":       {"OLD", "OLD\nNEW", 1},
		"empty":                    {"", "", 0},
		"a comment of it":          {"# OLD\n", "# OLD\n", 0},
		"options and a comment":    {"no-pty,from=\"192.0.2.1\" OLD me@home  now\n", "no-pty,from=\"192.0.2.1\" OLD me@home  now\nno-pty,from=\"192.0.2.1\" NEW me@home  now\n", 1},
		"quotes and blanks":        {`command="echo \"a b\" ssh-ed25519 x" OLD` + "\n", `command="echo \"a b\" ssh-ed25519 x" OLD` + "\n" + `command="echo \"a b\" ssh-ed25519 x" NEW` + "\n", 1},
		"the key within an option": {`command="say OLD" OTHER` + "\n", `command="say OLD" OTHER` + "\n", 0},
		"an authority":             {"cert-authority OLD\nCert-Authority,no-pty OLD\n", "cert-authority OLD\nCert-Authority,no-pty OLD\n", 0},
		"the word in quotes":       {`command="a,cert-authority,b" OLD` + "\n", `command="a,cert-authority,b" OLD` + "\n" + `command="a,cert-authority,b" NEW` + "\n", 1},
		"twice":                    {"OLD a\nOTHER\nOLD b\n", "OLD a\nNEW a\nOTHER\nOLD b\nNEW b\n", 2},
		"another kind's name":      {"ssh-rsa B64\n", "ssh-rsa B64\n", 0},
		"a quote without end":      {`command="x OLD` + "\n", `command="x OLD` + "\n", 0},
		"lines of another system":  {"OLD me\r\nOTHER\r\n", "OLD me\r\nNEW me\r\nOTHER\r\n", 1},
		"blanks before":            {"  \tOLD\n", "  \tOLD\n  \tNEW\n", 1},
		"of a try before":          {"OLD\nNEW\nOTHER", "OLD\nNEW\nOTHER", 1},
	} {
		t.Run(name, func(t *testing.T) {
			was, want := names.Replace(c.was), names.Replace(c.added)
			got, n := addKey([]byte(was), oldKey, freshKey)
			if string(got) != want || n != c.n {
				t.Errorf("%d lines, and\n%q\nnot\n%q", n, got, want)
			}
			again, _ := addKey(got, oldKey, freshKey)
			if !bytes.Equal(again, got) {
				t.Errorf("done again it is\n%q", again)
			}
			if name == "of a try before" {
				return
			}
			if back, _ := removeKey(got, freshKey); string(back) != was {
				t.Errorf("taken back it is\n%q\nnot\n%q", back, was)
			}
		})
	}
}

// What is in a file of others is never lost, whatever they wrote.
func FuzzLinesOfAuthorizedKeys(f *testing.F) {
	oldKey, freshKey := key(f, 1), key(f, 2)
	f.Add([]byte("no-pty " + line(oldKey) + " me\n# x\n"))
	f.Add([]byte(`command="\"` + line(oldKey) + "\n\r\n\n"))
	f.Fuzz(func(t *testing.T, was []byte) {
		bare, _ := removeKey(was, freshKey)
		added, n := addKey(bare, oldKey, freshKey)
		back, m := removeKey(added, freshKey)
		if !bytes.Equal(back, bare) || n != m {
			t.Errorf("%d and %d lines: %q became %q", n, m, bare, back)
		}
	})
}

// The sum is the one that every server's cksum makes.
func TestChecksumIsCksums(t *testing.T) {
	for _, text := range []string{"", "a", "OLD\n", strings.Repeat("\x00\xff", 70_000)} {
		c := exec.Command("cksum")
		c.Stdin = strings.NewReader(text)
		out, err := c.Output()
		must(t, err)
		if got := stamp([]byte(text)); got != strings.TrimSpace(string(out)) {
			t.Errorf("of %d bytes: %s, and cksum says %s", len(text), got, out)
		}
	}
}
