//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

// patience is how long a test waits for something that comes at once on an idle machine.
const patience = 60 * time.Second

// place is a home of its own with the commands that are typed there.
type place struct {
	t   testing.TB
	dir home.Dir
	env []string
}

// newPlace makes an empty home; its daemon ends with the test, and its log must then hold no race and no panic.
func newPlace(t testing.TB) *place {
	t.Helper()
	root := shortDir(t)
	dir, err := home.At(filepath.Join(root, "h"))
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: dir, env: append(cleanEnv(), "ZAVHOZ_HOME="+dir.Path())}
	t.Cleanup(func() {
		p.stop()
		soundLog(t, dir)
	})
	return p
}

// initialised is newPlace with a vault in it.
func initialised(t testing.TB) *place {
	t.Helper()
	p := newPlace(t)
	p.ok("init")
	return p
}

// shortDir is a temporary folder whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	root, err := os.MkdirTemp("", "zc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	return root
}

// cleanEnv is the environment without what would steer zavhoz.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ZAVHOZ_") && !strings.HasPrefix(kv, "GHOST_SERVERS=") {
			env = append(env, kv)
		}
	}
	return env
}

// soundLog fails the test where the daemon's log tells of a race or a panic.
func soundLog(t testing.TB, dir home.Dir) {
	t.Helper()
	b, err := os.ReadFile(dir.Log())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine "} {
		if bytes.Contains(b, []byte(bad)) {
			t.Errorf("the daemon's log holds %q:\n%s", bad, b)
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
}

// cmd makes a command that is zavhoz at this place.
func (p *place) cmd(args ...string) *exec.Cmd {
	c := exec.Command("zavhoz", args...)
	c.Env = p.env
	return c
}

// run runs zavhoz with stdin and gives how it ended.
func (p *place) run(stdin string, args ...string) result {
	p.t.Helper()
	c := p.cmd(args...)
	c.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok runs zavhoz, which must succeed, and gives what it printed.
func (p *place) ok(args ...string) string {
	p.t.Helper()
	return p.okIn("", args...)
}

// okIn is ok with standard input.
func (p *place) okIn(stdin string, args ...string) string {
	p.t.Helper()
	r := p.run(stdin, args...)
	if r.code != 0 {
		p.t.Fatalf("zavhoz %s: %v", strings.Join(args, " "), r)
	}
	return r.stdout
}

// status asks the daemon, starting one where none runs.
func (p *place) status() api.Status {
	p.t.Helper()
	var s api.Status
	decode(p.t, p.ok("status", "--json"), &s)
	return s
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// stop ends the daemon where one runs.
func (p *place) stop() {
	_ = os.Chmod(p.dir.Path(), 0o700)
	if r := p.run("", "stop", "--discard"); r.code != 0 && r.code != 6 {
		p.t.Errorf("zavhoz stop: %v", r)
	}
}

// kill ends the daemon at once, as the kernel does it to a process that ate the memory.
func (p *place) kill(pid int) {
	p.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	until(p.t, "the daemon is gone", func() bool { return !alive(pid) && !held(p.dir.Vault()) }) // its last thread too
}

// zombie tells whether the process has ended and nobody has waited for it yet.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte(") "))
	return ok && len(rest) > 0 && rest[0] == 'Z'
}

// write puts a file beside the home and gives its name.
func (p *place) write(name, text string) string {
	p.t.Helper()
	full := filepath.Join(filepath.Dir(p.dir.Path()), name)
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return full
}

// configure replaces a line of the configuration.
func (p *place) configure(old, fresh string) {
	p.t.Helper()
	b, err := os.ReadFile(p.dir.Config())
	if err != nil || !bytes.Contains(b, []byte(old)) {
		p.t.Fatalf("the configuration has no %q: %v", old, err)
	}
	if err := os.WriteFile(p.dir.Config(), bytes.Replace(b, []byte(old), []byte(fresh), 1), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for something that other processes do; there is nothing to be told of it by.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	pause := 2 * time.Millisecond
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(pause)                            // between two looks, not for order
		pause = min(pause*5/4, 200*time.Millisecond) // a look may be a whole program, and what is waited for half a minute away
	}
}

// client speaks to the operator's socket of the place.
func (p *place) client() *client {
	d := dialer{dir: p.dir, sock: p.dir.OperatorSock(), program: testZavhoz(p.t)}
	return newClient(d.dial)
}

// testZavhoz is the program that testscript put first on PATH.
func testZavhoz(t testing.TB) string {
	t.Helper()
	self, err := exec.LookPath("zavhoz")
	if err != nil {
		t.Fatal(err)
	}
	return self
}
