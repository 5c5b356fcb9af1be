//go:build unix

package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

var steps = []string{stepTemp, stepWrite, stepMode, stepSync, stepRename, stepTake, stepFolder}

const (
	oldText = "old: ENC[old]\n"
	newText = "new: ENC[new]\n"
	killEnv = "ZAVHOZ_SOPS_TEST_KILL_AT" // "STEP PATH": write there and be killed at that step
)

func init() {
	at, path, ok := strings.Cut(os.Getenv(killEnv), " ")
	if !ok {
		return
	}
	err := rewrite(context.Background(), path, func([]byte) ([]byte, error) { return []byte(newText), nil }, func(name string) error {
		if name == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	})
	fmt.Println(err)
	os.Exit(3)
}

func oldFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(path, []byte(oldText), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

// state gives the file's content and the names of its folder beside it.
func state(t *testing.T, path string) (string, []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rest []string
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() != filepath.Base(path) {
			rest = append(rest, n.Name())
		}
	}
	return string(b), rest
}

func toNew([]byte) ([]byte, error) { return []byte(newText), nil }

// A failure at any step (full disk, lost permission) leaves the old file or the new, says which by its words, and leaves nothing beside it.
func TestWriteFailsAtEachStep(t *testing.T) {
	for _, at := range steps {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO, fs.ErrPermission} {
			path := oldFile(t)
			err := rewrite(context.Background(), path, toNew, func(name string) error {
				if name == at {
					return cause
				}
				return nil
			})
			got, rest := state(t, path)
			want := oldText
			if at == stepFolder {
				want = newText
			}
			if err == nil || got != want || len(rest) > 0 || !errors.Is(err, cause) {
				t.Errorf("%s, %v: %v; file %q, beside it %v", at, cause, err, got, rest)
			}
			if said := fault.Of(err).Message; strings.Contains(said, "as it was") != (at != stepFolder) {
				t.Errorf("%s: it says %q", at, said)
			}
		}
	}
}

// kill -9 at any step leaves the old file or the new; the next write goes through and removes what was left.
func TestWriteKilledAtEachStep(t *testing.T) {
	for _, at := range steps {
		path := oldFile(t)
		c := exec.Command(os.Args[0], "-test.run=^$")
		c.Env = append(os.Environ(), killEnv+"="+at+" "+path)
		out, err := c.CombinedOutput()
		var end *exec.ExitError
		if !errors.As(err, &end) || end.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the child ended otherwise: %v %s", at, err, out)
		}
		want := oldText
		if at == stepFolder {
			want = newText
		}
		got, rest := state(t, path)
		if got != want {
			t.Errorf("%s: the file is %q", at, got)
		}
		for _, name := range rest {
			if b, err := os.ReadFile(filepath.Join(filepath.Dir(path), name)); err != nil || len(b) > 0 && !bytes.Equal(b, []byte(newText)) {
				t.Errorf("%s: beside it is %s with %q, %v", at, name, b, err)
			}
		}
		if err := Rewrite(context.Background(), path, toNew); err != nil {
			t.Errorf("%s: the next write: %v", at, err)
		}
		if got, rest := state(t, path); got != newText || len(rest) > 0 {
			t.Errorf("%s: after the next write %q, beside it %v", at, got, rest)
		}
	}
}

// Somebody who writes between our reading and our rename is not overwritten, however he writes.
func TestWriteLosesNobodysChange(t *testing.T) {
	for name, meddle := range map[string]func(path string) error{
		"in place": func(path string) error { return os.WriteFile(path, []byte("theirs: ENC[x]\n"), 0o640) },
		"renamed": func(path string) error {
			if err := os.WriteFile(path+".t", []byte("theirs: ENC[x]\n"), 0o640); err != nil {
				return err
			}
			return os.Rename(path+".t", path)
		},
	} {
		for _, when := range []string{stepRename, stepTake} {
			path := oldFile(t)
			err := rewrite(context.Background(), path, toNew, func(at string) error {
				if at == when {
					return meddle(path)
				}
				return nil
			})
			if got, rest := state(t, path); fault.CodeOf(err) != fault.VersionConflict || got != "theirs: ENC[x]\n" || len(rest) > 0 {
				t.Errorf("%s, %s: %v; %q %v", when, name, err, got, rest)
			}
		}
	}
}

// A folder that cannot exchange two names (a file system that knows no such thing) gets a rename.
func TestTakeWithoutExchange(t *testing.T) {
	path := oldFile(t)
	temp := path + ".temp"
	if err := os.WriteFile(temp, []byte(newText), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := readFile(path)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := takeBy(func(string, string) error { return errors.ErrUnsupported }, temp, path, before)
	if got, rest := state(t, path); !taken || err != nil || got != newText || len(rest) != 0 {
		t.Errorf("%v %v %q %v", taken, err, got, rest)
	}
}

// Writers of ours take turns: of many that add a line each, none is lost.
func TestWritersTakeTurns(t *testing.T) {
	path := oldFile(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			err := Rewrite(context.Background(), path, func(b []byte) ([]byte, error) { return fmt.Appendf(b, "line%d: x\n", i), nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, rest := state(t, path)
	if n := strings.Count(got, "\n"); n != 17 || len(rest) > 0 {
		t.Errorf("%d lines, beside it %v", n, rest)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// The file that takes the name is locked before it has it, and until its writer is done: the next writer would sweep away what this one has still to look at.
func TestNextWriterWaitsForTheLast(t *testing.T) {
	path := oldFile(t)
	var asked []string
	err := rewrite(context.Background(), path, toNew, func(at string) error {
		name := path
		switch at {
		case stepTake:
			left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"+tempMark+"*"))
			if err != nil || len(left) != 1 {
				t.Fatalf("beside it are %v, %v", left, err)
			}
			name = left[0]
		case stepFolder:
		default:
			return nil
		}
		asked = append(asked, at)
		if h, err := lock(name); h != nil || err != nil {
			t.Errorf("%s: another writer got %v, %v", at, h, err)
		}
		return nil
	})
	if got, rest := state(t, path); err != nil || got != newText || len(rest) > 0 || len(asked) != 2 {
		t.Errorf("%v %q %v, asked at %v", err, got, rest, asked)
	}
	if h, err := lock(path); h == nil || err != nil {
		t.Errorf("after it %v, %v", h, err)
	} else {
		h.release()
	}
}

// A link that another could have put there leads no write elsewhere.
func TestLinkOfOthersIsNotFollowed(t *testing.T) {
	path := oldFile(t)
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(open, "link.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Rewrite(context.Background(), link, toNew); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("a link in an open folder: %v", err)
	}
	if got, _ := state(t, path); got != oldText {
		t.Error("it was followed")
	}
}

// WriteNew takes nothing's place.
func TestWriteNewTakesNoPlace(t *testing.T) {
	path := oldFile(t)
	if err := WriteNew(path, []byte(newText)); fault.CodeOf(err) != fault.AlreadyInitialized {
		t.Errorf("over a file: %v", err)
	}
	fresh := path + ".new"
	if err := WriteNew(fresh, []byte(newText)); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(fresh); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if got, rest := state(t, path); got != oldText || len(rest) != 1 {
		t.Errorf("%q %v", got, rest)
	}
}
