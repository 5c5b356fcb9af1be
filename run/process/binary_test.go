//go:build unix

package process_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
)

const honest, evil = "#!/bin/sh\necho honest \"$@\"\n", "#!/bin/sh\necho evil\n"

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// notRoots gives the file to an ordinary user, so that root's tests see what an ordinary user's see.
func notRoots(t *testing.T, path string) string {
	t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func open(t *testing.T, w process.Want) *process.Binary {
	t.Helper()
	b, err := process.OpenBinary(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func output(t *testing.T, b *process.Binary, args ...string) string {
	t.Helper()
	out := newSink("")
	start(t, process.Spec{Binary: b, Argv: append([]string{"tool"}, args...), Env: []string{"PATH=/usr/bin:/bin"}, Stdout: out, Stderr: out}).Wait()
	return out.String()
}

func TestAttack51_SwappedByRename(t *testing.T) {
	dir := t.TempDir()
	tool := write(t, filepath.Join(dir, "tool"), honest, 0o755)
	for _, w := range []process.Want{{Path: tool}, {Path: tool, SHA256: sum(honest)}} {
		b := open(t, w)
		if err := os.Rename(write(t, filepath.Join(dir, "new"), evil, 0o755), tool); err != nil {
			t.Fatal(err)
		}
		if got := output(t, b, "a", "b c"); got != "honest a b c\n" {
			t.Errorf("hash %q: %q", w.SHA256, got)
		}
		write(t, tool, honest, 0o755)
	}
}

func TestAttack51_RewrittenInPlace(t *testing.T) {
	tool := notRoots(t, write(t, filepath.Join(t.TempDir(), "tool"), honest, 0o755))
	b := open(t, process.Want{Path: tool, SHA256: strings.ToUpper(sum(honest))})
	write(t, tool, evil, 0o755)
	if got := output(t, b); got != "honest\n" {
		t.Errorf("got %q", got)
	}
	if _, err := process.OpenBinary(process.Want{Path: tool, SHA256: sum(honest)}); fault.CodeOf(err) != fault.BinaryChanged {
		t.Errorf("a changed file: %v", err)
	}
}

// A program proper, not a script: copied, sealed and executed from memory.
func TestAttack51_ProgramFromMemory(t *testing.T) {
	body, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	tool := notRoots(t, write(t, filepath.Join(t.TempDir(), "tool"), string(body), 0o755))
	b := open(t, process.Want{Path: tool, SHA256: sum(string(body))})
	write(t, tool, evil, 0o755)
	for range 3 { // one Binary may start more than once
		if got := output(t, b, "from memory"); got != "from memory\n" {
			t.Errorf("got %q", got)
		}
	}
}

func TestPermissionsDecideWithoutAHash(t *testing.T) {
	dir := t.TempDir()
	loose := write(t, filepath.Join(dir, "loose"), honest, 0o775)
	open777 := filepath.Join(dir, "open")
	if err := os.Mkdir(open777, 0o700); err != nil {
		t.Fatal(err)
	}
	inside := write(t, filepath.Join(open777, "tool"), honest, 0o755)
	if err := os.Chmod(open777, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]process.Want{"group-writable": {Path: loose}, "in a writable folder": {Path: inside}} {
		if _, err := process.OpenBinary(w); fault.CodeOf(err) != fault.DeliveryRefused {
			t.Errorf("%s: %v", name, err)
		}
		w.SHA256 = sum(honest)
		if got := output(t, open(t, w)); got != "honest\n" {
			t.Errorf("%s, with its hash: %q", name, got)
		}
	}
}

func TestWhatIsNotAProgramIsMissing(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain"), honest, 0o644)
	lost := write(t, filepath.Join(dir, "lost"), "#!/no/such/interpreter\n", 0o755)
	for _, path := range []string{"", "sh", "./sh", dir, plain, lost, filepath.Join(dir, "none"), "/dev/null", plain + "\x00"} {
		if _, err := process.OpenBinary(process.Want{Path: path}); fault.CodeOf(err) != fault.BinaryMissing {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestScriptsOfScriptsAreRefused(t *testing.T) {
	dir := t.TempDir()
	one := write(t, filepath.Join(dir, "one"), honest, 0o755)
	two := write(t, filepath.Join(dir, "two"), "#!"+one+"\n", 0o755)
	if _, err := process.OpenBinary(process.Want{Path: two}); fault.CodeOf(err) != fault.NotSupported {
		t.Errorf("%v", err)
	}
}

func TestAScriptsInterpreterTakesItsArgument(t *testing.T) {
	tool := write(t, filepath.Join(t.TempDir(), "tool"), "#! /bin/sh -e\nfalse\necho not reached\n", 0o755)
	if got := output(t, open(t, process.Want{Path: tool})); got != "" {
		t.Errorf("got %q", got)
	}
}
