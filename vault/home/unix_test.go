//go:build unix

package home_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

const identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func TestAnExposedKeyFileIsRefusedWithItsMend(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o666, 0o777, 0o610} {
		path := filepath.Join(dir, "identity.txt")
		write(t, path, identity+"\n", mode)
		_, err := home.LoadIdentities(path)
		if f := fault.Of(err); f == nil || f.Code != fault.KeyFileExposed || f.Next != "chmod 600 "+path {
			t.Fatalf("%o: %v", mode, err)
		}
	}
	odd := filepath.Join(dir, "it's mine")
	write(t, odd, identity, 0o644)
	_, err := home.LoadIdentities(odd)
	if f := fault.Of(err); f == nil || f.Next != `chmod 600 '`+dir+`/it'\''s mine'` {
		t.Errorf("%v", err)
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		write(t, odd, "# public key: age1\n\n"+identity+"\r\n", 0o600)
		if err := os.Chmod(odd, mode); err != nil {
			t.Fatal(err)
		}
		if ids, err := home.LoadIdentities(odd); err != nil || len(ids) != 1 {
			t.Errorf("%o: %v", mode, err)
		}
	}
}

func TestWhatIsNotAPlainFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	write(t, real, identity, 0o600)
	link, pipe, folder := filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "folder")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, pipe, folder} {
		if _, err := home.LoadIdentities(path); fault.CodeOf(err) != fault.KeyFileExposed {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := home.LoadIdentities(filepath.Join(dir, "none")); fault.CodeOf(err) != fault.NotInitialized {
		t.Errorf("none: %v", err)
	}
}

func TestParseErrorsEchoNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.txt")
	for name, c := range map[string]struct{ text, says string }{
		"a broken key":  {"# c\n" + identity[:40] + "canary" + identity[46:], "line 2 "},
		"another text":  {"password=canary", "line 1 "},
		"a public key":  {"age1canary", "line 1 "},
		"empty":         {"", "no identity"},
		"comments only": {"# canary\n", "no identity"},
		"encrypted":     {"age-encryption.org/v1\n-> scrypt canary\n", "passphrase"},
		"huge":          {strings.Repeat("# canary\n", 10_000), "too large"},
		"binary":        {"\xff\xfe\x00canary", "line 1 "},
	} {
		write(t, path, c.text, 0o600)
		_, err := home.LoadIdentities(path)
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnOpenFolderIsRefusedWithItsMend(t *testing.T) {
	root := filepath.Join(t.TempDir(), "zavhoz")
	d := at(t, root)
	if _, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{root, d.Run()} {
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if f := fault.Of(d.Check()); f == nil || f.Code != fault.KeyFileExposed || f.Next != "chmod 700 "+p {
			t.Errorf("%s: %v", p, f)
		}
		if err := os.Chmod(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(d.Run()); err != nil {
		t.Fatal(err)
	}
	write(t, d.Run(), "", 0o600)
	if err := d.Check(); fault.CodeOf(err) != fault.KeyFileExposed {
		t.Errorf("a file for a folder: %v", err)
	}
}

// The folder of the sockets lies in /tmp for a long home: who makes it first must not get our sockets.
func TestASquattedSocketFolderIsRefused(t *testing.T) {
	d := at(t, filepath.Join(t.TempDir(), strings.Repeat("long", 30)))
	t.Cleanup(func() { os.Remove(d.Run()) })
	if err := os.Mkdir(d.Run(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.Run(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.EnsureRun(); fault.CodeOf(err) != fault.KeyFileExposed {
		t.Errorf("open to all: %v", err)
	}
	if err := os.Remove(d.Run()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), d.Run()); err != nil {
		t.Fatal(err)
	}
	if err := d.EnsureRun(); fault.CodeOf(err) != fault.KeyFileExposed {
		t.Errorf("a link: %v", err)
	}
	if err := os.Remove(d.Run()); err != nil {
		t.Fatal(err)
	}
	if err := d.EnsureRun(); err != nil {
		t.Errorf("a new one: %v", err)
	}
}

func TestTheDataFolderOfThePlatform(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	d, err := home.Locate(env(map[string]string{"HOME": "/home/u"}))
	if err != nil || !strings.HasPrefix(d.Path(), "/home/u/") || !strings.HasSuffix(d.Path(), "/zavhoz") {
		t.Errorf("%v %v", d.Path(), err)
	}
	if _, err := home.Locate(env(map[string]string{"HOME": "relative"})); fault.CodeOf(err) != fault.NotInitialized {
		t.Errorf("a relative HOME: %v", err)
	}
}

func TestInitThroughALink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.Mkdir(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	d := at(t, link)
	if _, err := home.Init(t.Context(), home.InitOptions{Dir: d, MakeVault: makeVault}); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Errorf("%v", err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
}
