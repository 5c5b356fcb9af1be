//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/web/api"
)

// kept is a vault with a few secrets, big enough that its copies take a while, and a backup of it.
func kept(t *testing.T) (p *place, backup string) {
	t.Helper()
	p = initialised(t)
	cl := p.client()
	for _, handle := range []string{"a", "b", "c"} {
		in := map[string]any{"kind": "generic", "handle": handle, "attrs": map[string]string{"env": strings.ToUpper(handle)}, "secrets": map[string]string{"value": valueOf(handle, 1)}}
		if err := cl.call(t.Context(), "POST", path("resources"), in, nil); err != nil {
			t.Fatal(err)
		}
		edit := map[string]any{"secrets": map[string]string{"value": valueOf(handle, 2)}}
		if err := cl.call(t.Context(), "PATCH", path("resources", handle), edit, nil); err != nil {
			t.Fatal(err)
		}
	}
	backup = filepath.Join(filepath.Dir(p.dir.Path()), "kept.age")
	p.ok("backup", backup)
	p.stop()
	return p, backup
}

// sound tells that the home at this place is the whole vault.
func (p *place) sound() {
	p.t.Helper()
	var page api.Page[api.Resource]
	decode(p.t, p.ok("resource", "list", "--json"), &page)
	if len(page.Items) != 3 {
		p.t.Fatalf("%d resources", len(page.Items))
	}
	p.ok("audit", "verify")
	for h, v := range p.plan([]string{"a", "b", "c"}) {
		if v != valueOf(h, 2) {
			p.t.Fatalf("%s has the value %q", h, v)
		}
	}
	p.stop()
}

// killed runs a command and kills it after a while, longer each time, until it has ended by itself. Each time check sees what it left.
func killed(t *testing.T, cmd func() *exec.Cmd, check func(done bool)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	kills := 0
	for wait := time.Duration(0); ; wait += 3*time.Millisecond + wait/4 {
		c := cmd()
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(wait+time.Duration(rng.IntN(3000))*time.Microsecond, func() { _ = c.Process.Kill() })
		err := c.Wait()
		timer.Stop()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
			t.Fatalf("after %v: %v\n%s", wait, err, &errs)
		}
		check(err == nil)
		if err == nil {
			break
		}
		kills++
	}
	if kills < 3 {
		t.Fatalf("it was killed %d times only", kills)
	}
}

// Whenever a backup is killed, the name has the file that was there, or the whole new one.
func TestABackupThatIsKilledLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	p, old := kept(t)
	was, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(filepath.Dir(old), "fresh.age")
	p.status() // the daemon is there: it is the client that is killed
	killed(t, func() *exec.Cmd { return p.cmd("backup", old, "--force") }, func(bool) {
		now, err := os.ReadFile(old)
		if err != nil || !bytes.Equal(now, was) {
			p.ok("restore", old, "--verify")
		}
	})
	killed(t, func() *exec.Cmd { return p.cmd("backup", fresh) }, func(done bool) {
		if _, err := os.Stat(fresh); err == nil {
			p.ok("restore", fresh, "--verify")
			if !done {
				_ = os.Remove(fresh)
			}
		}
	})
	p.sound()
}

// Whenever a restore is killed there is no home, or the whole vault.
func TestARestoreThatIsKilledLeavesNoHalfVault(t *testing.T) {
	t.Parallel()
	p, backup := kept(t)
	to := newPlace(t)
	killed(t, func() *exec.Cmd { return to.cmd("restore", backup, "--identity", p.dir.Identity()) }, func(done bool) {
		if _, err := os.Stat(to.dir.Path()); err == nil {
			to.sound()
			if !done {
				if err := os.RemoveAll(to.dir.Path()); err != nil {
					t.Fatal(err)
				}
			}
		} else if done {
			t.Fatal("it succeeded, and there is no home")
		}
	})
	to.ok("restore", backup, "--verify")
}

// Whenever a copy into another store is killed, the source is as it was, the target refuses to open, and the same command finishes it.
func TestAMigrationThatIsKilledStartsOver(t *testing.T) {
	t.Parallel()
	p, _ := kept(t)
	source, err := os.ReadFile(p.dir.Vault())
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(filepath.Dir(p.dir.Path()), "target.db")
	other := newPlace(t)
	asHome := func() {
		t.Helper()
		_ = os.RemoveAll(other.dir.Path())
		if err := os.MkdirAll(other.dir.Path(), 0o700); err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{target: other.dir.Vault(), p.dir.Identity(): other.dir.Identity()} {
			b, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	killed(t, func() *exec.Cmd { return p.cmd("migrate", "--to", "bolt:"+target) }, func(done bool) {
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			return
		}
		asHome()
		r := other.run("", "status")
		switch {
		case r.code == 0:
			other.sound()
			if !done {
				_ = os.Remove(target)
			}
		case done || r.code != 6 && r.code != 7 && r.code != 8:
			t.Fatalf("the target: %v", r)
		}
		if r.code == 7 { // killed before the file was a store: such a file is of no use, and says so
			_ = os.Remove(target)
		}
		if now, err := os.ReadFile(p.dir.Vault()); err != nil || !bytes.Equal(now, source) {
			t.Fatalf("the source changed: %v", err)
		}
	})
	p.sound()
}

// Whenever the file is being written anew and that is killed, the home has the whole vault.
func TestACompactionThatIsKilledLeavesTheVault(t *testing.T) {
	t.Parallel()
	p, _ := kept(t)
	killed(t, func() *exec.Cmd { return p.cmd("compact") }, func(bool) { p.sound() })
	if _, err := os.Stat(p.dir.Vault() + ".compact"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was left: %v", err)
	}
}

// limited is zavhoz on a disk that takes files of so many blocks of 512 bytes.
func (p *place) limited(blocks string, args ...string) result {
	p.t.Helper()
	c := exec.Command("sh", append([]string{"-c", `ulimit -f "$0" && exec zavhoz "$@"`, blocks}, args...)...)
	c.Env = p.env
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A disk that is full at any size, and a folder that takes no file, change nothing; it is said, and nothing is left behind.
func TestAFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	p, backup := kept(t)
	root := filepath.Dir(p.dir.Path())
	fresh, target, home2 := filepath.Join(root, "fresh.age"), filepath.Join(root, "target.db"), filepath.Join(root, "h2")
	p.status()
	for _, blocks := range []string{"0", "1", "8", "16"} {
		if r := p.limited(blocks, "backup", fresh); r.code == 0 || !strings.Contains(r.stderr, "disk is full") {
			t.Errorf("backup, %s blocks: %v", blocks, r)
		}
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a backup is there: %v", err)
	}
	p.stop()
	before := listing(t, root)
	for _, blocks := range []string{"0", "8", "40", "200", "1000"} {
		for name, args := range map[string][]string{
			"restore": {"restore", backup, "--to", home2, "--identity", p.dir.Identity()},
			"migrate": {"migrate", "--to", "bolt:" + target},
			"compact": {"compact"},
		} {
			if r := p.limited(blocks, args...); r.code == 0 || strings.Contains(r.stderr, "something went wrong") {
				t.Errorf("%s, %s blocks: %v", name, blocks, r)
			}
		}
	}
	if after := listing(t, root); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
	p.sound()
}

// listing names every file below a folder.
func listing(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		all.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
