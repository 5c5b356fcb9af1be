package run_test

import (
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The attacks of docs/threat-model.md on whole runs: the real sandbox, proxy, bastion and fronts around commands that a hostile model chose. What one part stops
// by itself is held by that part's own tests; here it is held with all of them put together, as each user, at each level.

// held is a sandbox that gives one level and no other.
type held struct {
	*sandbox.Sandbox
	level policy.Level
}

func (h held) Level() policy.Level { return h.level }

// eachWall runs f at both levels that a shared machine gives, as an ordinary user and as root. Where the machine lacks a level, what is asserted is the refusal.
func eachWall(t *testing.T, edit func(*run.Options), f func(t *testing.T, h *house, e *run.Engine)) {
	t.Helper()
	eachUser(t, func(t *testing.T) {
		for _, level := range []policy.Level{policy.LevelBasic, policy.LevelSealed} {
			t.Run(string(level), func(t *testing.T) {
				walls, err := sandbox.New(sandbox.Options{}) // at basic a run of root's is another user, who must get through to its home
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = walls.Close() })
				h, e := realHouse(t, func(o *run.Options) {
					o.Sandbox = held{walls, level}
					if edit != nil {
						edit(o)
					}
				})
				if !walls.Level().Meets(level) {
					h.keep("api_key", "acme", map[string]string{"env": "ACME_KEY", "hosts": upstreamHost}, map[string]string{"key": acmeKey}, policy.Policy{})
					if res, err := e.Run(t.Context(), sh("true")); fault.CodeOf(err) != fault.IsolationMissing {
						t.Fatalf("this machine has no %s, yet: %+v %v", level, res, err)
					}
					return
				}
				f(t, h, e)
			})
		}
	})
}

// sh is a shell's command of alice's with acme.
func sh(script string) run.Request {
	return run.Request{Actor: alice, Refs: []string{"acme"}, Command: []string{"sh", "-c", script}, Timeout: 90 * time.Second}
}

// python is a program of alice's with acme.
func python(program string, args ...string) run.Request {
	return run.Request{Actor: alice, Refs: []string{"acme"}, Command: append([]string{"python3", "-c", program}, args...), Timeout: 90 * time.Second}
}

// pinShell keeps acme for one pinned script, which holds the value.
func (h *house) pinShell(script string) run.Request {
	h.keep("api_key", "acme", map[string]string{"env": "ACME_KEY", "hosts": upstreamHost}, map[string]string{"key": acmeKey}, policy.Policy{
		Pins: []policy.Pin{{Name: "deploy", Argv: []string{"/bin/sh", "-c", script}}}, Deliveries: []policy.Delivery{policy.Env, policy.Broker},
	})
	return run.Request{Actor: alice, Refs: []string{"acme"}, Command: []string{"/bin/sh", "-c", script}, Timeout: 90 * time.Second}
}

// veiled turns a value into what a program can be told without holding it: a hunter inside undoes it in its own memory only.
func veiled(value string) string {
	b := []byte(value)
	for i := range b {
		b[i] ^= 0x5a
	}
	return hex.EncodeToString(b)
}

// lines are the lines of a result's output.
func lines(res run.Result) []string { return strings.Split(strings.TrimSuffix(res.Stdout, "\n"), "\n") }

// partOf fails if any 8 consecutive bytes of the value are in the text.
func partOf(t *testing.T, text, value string) {
	t.Helper()
	for i := 0; i+8 <= len(value); i++ {
		if strings.Contains(text, value[i:i+8]) {
			t.Fatalf("a part of the value came out: %q", text)
		}
	}
}

// ear is a listener of the machine's that nobody inside may reach.
func ear(t *testing.T) (addr string, heard func() bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), func() bool {
		_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
		c, err := l.Accept()
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
}

// worktree is a folder with files in it that everybody may pass through to and read.
func worktree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = folder(t, nil)
	for d := dir; d != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			break // another's
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// opened lets alice's runs work in a folder.
func opened(dir string, mode sandbox.Mode) func(*run.Options) {
	return func(o *run.Options) {
		o.Workdirs = func(context.Context, vault.Actor, string, string) ([]sandbox.Workdir, error) {
			return []sandbox.Workdir{{Path: dir, Mode: mode}}, nil
		}
	}
}

// denied tells whether the run's proxy refused something with the code.
func denied(res run.Result, code fault.Code) bool {
	for _, d := range res.Denials {
		if d.Code == string(code) {
			return true
		}
	}
	return false
}

// hears tells whether a datagram came.
func hears(t *testing.T, p net.PacketConn) bool {
	t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _, err := p.ReadFrom(make([]byte, 64))
	return err == nil
}
