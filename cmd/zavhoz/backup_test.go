//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// ageProgram builds the real age, from the module that this one is built with, in that module's own folder: what it needs is its own.
var ageProgram = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "filippo.io/age").Output()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "age")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "age"), "./cmd/age")
	build.Dir = strings.TrimSpace(string(out))
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	build.Stderr = os.Stderr
	return filepath.Join(dir, "age"), build.Run()
})

// The real age opens a backup with the vault's identity file, and what it gives holds no value in any form that we can think of.
func TestTheRealAgeOpensABackup(t *testing.T) {
	t.Parallel()
	age, err := ageProgram()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(age)) })
	p, backup := kept(t)
	var errs bytes.Buffer
	c := exec.Command(age, "-d", "-i", p.dir.Identity(), backup)
	c.Stderr = &errs
	plain, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	if !bytes.HasPrefix(plain, []byte("zvhbak\x01")) || !bytes.Contains(plain, []byte(`"handle":"a"`)) || !bytes.Contains(plain, []byte("zvh1:")) {
		t.Errorf("it gives %d bytes, which are no backup", len(plain))
	}
	for _, h := range []string{"a", "b", "c"} {
		for _, form := range forms(valueOf(h, 2)) {
			if bytes.Contains(plain, []byte(form)) {
				t.Errorf("below the encryption %s is readable", h)
			}
		}
	}
	// and the other way round: what age encrypts for the same recipient is a backup where it was one
	public := p.write("public.txt", "")
	text, err := os.ReadFile(p.dir.Identity())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "# public key: ")
	recipient, _, _ := strings.Cut(rest, "\n")
	c = exec.Command(age, "-r", recipient, "-o", public)
	c.Stdin = bytes.NewReader(plain)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.ok("restore", public, "--verify")
}

// forms are how a value may stand in a file.
func forms(value string) []string {
	return []string{value, base64.StdEncoding.EncodeToString([]byte(value))[:20], base64.RawURLEncoding.EncodeToString([]byte("x" + value))[4:20], hex.EncodeToString([]byte(value)), value[:12]}
}

// Whatever is written by backup, restore, migrate, purge and compact, in files and on the terminal, holds no planted value, no passphrase and no identity but where
// that belongs.
func TestAttack66_CopiesHoldNoValue(t *testing.T) {
	t.Parallel()
	p, backup := kept(t)
	root := filepath.Dir(p.dir.Path())
	const phrase = "open sesame, said the person"
	p.okIn(phrase, "presence", "set", "--operator-passphrase-from", "-")
	word := "@" + p.write("phrase", phrase)
	shown := ""
	say := func(args ...string) {
		r := p.run("", args...)
		shown += r.stdout + r.stderr
		if r.code != 0 && r.code != 5 {
			t.Fatalf("zavhoz %v: %v", args, r)
		}
	}
	say("backup", filepath.Join(root, "second.age"), "--json")
	say("resource", "purge", "a", "--all", "--yes")
	p.stop()
	say("restore", backup, "--verify")
	say("restore", filepath.Join(root, "second.age"), "--to", filepath.Join(root, "h2"), "--identity", p.dir.Identity(), "--operator-passphrase-from", word)
	say("migrate", "--to", "bolt:"+filepath.Join(root, "v2.db"), "--operator-passphrase-from", word)
	say("compact", "--operator-passphrase-from", word)
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		for _, h := range []string{"a", "b", "c"} {
			for n := 1; n <= 2; n++ {
				for _, form := range forms(valueOf(h, n)) {
					if bytes.Contains(b, []byte(form)) {
						t.Errorf("%s holds a value", path)
					}
				}
			}
		}
		if name := filepath.Base(path); bytes.Contains(b, []byte(phrase)) && name != "phrase" || bytes.Contains(b, []byte("AGE-SECRET-KEY-")) && name != "identity.txt" {
			t.Errorf("%s holds a key", path)
		}
		return err
	})
	if err != nil || files < 8 {
		t.Fatalf("%d files: %v", files, err)
	}
	for _, bad := range []string{"value-", phrase, "AGE-SECRET-KEY-"} {
		if strings.Contains(shown, bad) {
			t.Errorf("%q was shown", bad)
		}
	}
}

// A new file has nothing of a version that was purged; the one before has it, which is why there is a new one.
func TestCompactLeavesNothingOfWhatWasPurged(t *testing.T) {
	t.Parallel()
	p, _ := kept(t)
	seal := func() (old string) {
		b, err := os.ReadFile(p.dir.Vault())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := seal()
	at := strings.Index(before, `"secrets":{"value":{"value":"zvh1:`)
	if at < 0 {
		t.Fatal("no seal in the file")
	}
	var olds []string
	for rest := before; ; {
		_, after, ok := strings.Cut(rest, `"value":"zvh1:`)
		if !ok {
			break
		}
		text, _, _ := strings.Cut(after, `"`)
		olds, rest = append(olds, text), after
	}
	for _, h := range []string{"a", "b", "c"} {
		p.ok("resource", "purge", h, "--all", "--yes")
	}
	p.stop()
	purged := seal()
	p.ok("compact")
	now := seal()
	gone, still := 0, 0
	for _, s := range olds {
		if strings.Contains(purged, s) && !strings.Contains(now, s) {
			gone++
		}
		if strings.Contains(now, s) {
			still++
		}
	}
	if gone == 0 || still == 0 {
		t.Errorf("of %d seals %d went with the compaction and %d stayed", len(olds), gone, still)
	}
	p.sound()
}

// Where the folder takes no file, that is said and nothing changes.
func TestNoRightsChangeNothing(t *testing.T) {
	p, backup := kept(t)
	if os.Getuid() == 0 { // root may write anywhere: a folder that is a file takes nothing from root either
		root := filepath.Dir(p.dir.Path())
		for _, args := range [][]string{
			{"backup", filepath.Join(backup, "x.age")}, {"restore", backup, "--to", filepath.Join(backup, "h"), "--identity", p.dir.Identity()}, {"migrate", "--to", "bolt:" + filepath.Join(backup, "v.db")},
		} {
			if r := p.run("", args...); r.code == 0 {
				t.Errorf("%v: %v", args, r)
			}
			p.stop()
		}
		p.ok("restore", backup, "--verify")
		if _, err := os.Stat(filepath.Join(root, "h")); err != nil {
			t.Error(err)
		}
		return
	}
	closed := filepath.Join(filepath.Dir(p.dir.Path()), "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"backup", filepath.Join(closed, "x.age")}, {"restore", backup, "--to", filepath.Join(closed, "h"), "--identity", p.dir.Identity()}, {"migrate", "--to", "bolt:" + filepath.Join(closed, "v.db")},
	} {
		if r := p.run("", args...); r.code != 5 {
			t.Errorf("%v: %v", args, r)
		}
		p.stop()
	}
	if err := os.Chmod(p.dir.Path(), 0o500); err != nil {
		t.Fatal(err)
	}
	if r := p.run("", "compact"); r.code == 0 {
		t.Errorf("compact: %v", r)
	}
	if err := os.Chmod(p.dir.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	p.sound()
}
