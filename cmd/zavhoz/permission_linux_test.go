package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// same tells that a file is as it was.
func same(t *testing.T, path string, was []byte) {
	t.Helper()
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, was) {
		t.Errorf("%s changed: %v", path, err)
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A backup whose disk turns read-only leaves the file that was there, or the whole new one.
func TestABackupOnADiskThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	p, old := kept(t)
	was, fresh := contents(t, old), filepath.Join(filepath.Dir(old), "fresh.age")
	p.status() // the daemon is there: the client's disk it is
	readOnlyFrom(t, p, []string{"backup", fresh}, func(r result) {
		if _, err := os.Stat(fresh); err == nil {
			p.ok("restore", fresh, "--verify")
			if err := os.Remove(fresh); err != nil {
				t.Fatal(err)
			}
		} else if r.code == 0 {
			t.Errorf("it succeeded, and there is no backup: %v", r)
		}
	})
	readOnlyFrom(t, p, []string{"backup", old, "--force"}, func(r result) {
		if r.code != 0 {
			same(t, old, was)
		}
		p.ok("restore", old, "--verify")
		was = contents(t, old)
	})
	p.sound()
}

// A restore whose disk turns read-only leaves no home, or the whole vault, and says why; once it may write, it makes it.
func TestARestoreOnADiskThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	p, backup := kept(t)
	to := newPlace(t)
	readOnlyFrom(t, to, []string{"restore", backup, "--identity", p.dir.Identity()}, func(r result) {
		if _, err := os.Stat(to.dir.Path()); err == nil {
			to.sound()
			to.stop() // or it puts its sockets into the next home
			if err := os.RemoveAll(to.dir.Path()); err != nil {
				t.Fatal(err)
			}
		} else if r.code == 0 {
			t.Errorf("it succeeded, and there is no home: %v", r)
		}
	})
	to.ok("restore", backup, "--identity", p.dir.Identity())
	to.sound()
}

// A copy into another store whose disk turns read-only leaves the source as it is and a target that opens nowhere, or the whole one; the same command finishes it.
func TestAMigrationOnADiskThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	p, _ := kept(t)
	source, to := contents(t, p.dir.Vault()), newPlace(t)
	target := filepath.Join(filepath.Dir(p.dir.Path()), "target.db")
	asHome := func() {
		t.Helper()
		to.stop() // of the home before: it would put its sockets into this one
		if err := errors.Join(os.RemoveAll(to.dir.Path()), os.MkdirAll(to.dir.Path(), 0o700), os.WriteFile(to.dir.Vault(), contents(t, target), 0o600),
			os.WriteFile(to.dir.Identity(), contents(t, p.dir.Identity()), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	readOnlyFrom(t, p, []string{"migrate", "--to", "bolt:" + target}, func(r result) {
		same(t, p.dir.Vault(), source)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			if r.code == 0 {
				t.Error("it succeeded, and there is no target")
			}
			return
		}
		asHome()
		if s := to.run("", "status"); s.code == 0 {
			to.sound()
		} else if r.code == 0 || s.code != 6 && s.code != 7 && s.code != 8 {
			t.Errorf("the target: %v", s)
		}
		if r.code == 7 || to.run("", "status").code == 7 || r.code == 0 {
			if err := os.Remove(target); err != nil {
				t.Fatal(err)
			}
		}
	})
	p.ok("migrate", "--to", "bolt:"+target)
	asHome()
	to.sound()
	p.sound()
}

// A file that is being written anew on a disk that turns read-only stays as it was, or is the new one.
func TestACompactionOnADiskThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	p, _ := kept(t)
	readOnlyFrom(t, p, []string{"compact"}, func(result) { p.sound() })
}
