package sandbox_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The suite runs as root and, test by test, once more as an ordinary user: in a copy of this binary that such a user may execute.

const (
	nobody  = 65534
	asUser  = "ZAVHOZ_TEST_AS_USER"
	hasty   = "GORACE=atexit_sleep_ms=10" // the race detector lets every process sleep a second at its end
	seconds = 60 * time.Second            // nothing takes that long; a test that hangs says so
)

// program is the test binary where everybody may execute it.
var program string

func init() {
	setUp = func() func() {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // as the daemon is
		if os.Getenv(asUser) != "" || os.Geteuid() != 0 {
			program = "/proc/self/exe"
			if path, err := os.Executable(); err == nil {
				program = path
			}
			return func() {}
		}
		dir, err := os.MkdirTemp("", "zavhoz-sandbox-test-")
		if err != nil {
			panic("no folder for the test binary")
		}
		program = filepath.Join(dir, "sandbox.test")
		if os.Chmod(dir, 0o755) != nil || copyFile(program, "/proc/self/exe") != nil {
			panic("the test binary cannot be copied")
		}
		setuid := filepath.Join(dir, "setuid") // what sudo is, without its questions
		if os.Mkdir(setuid, 0o755) != nil || copyFile(setuid+"/ids", "/proc/self/exe") != nil || os.Chmod(setuid+"/ids", 0o755|os.ModeSetuid) != nil {
			panic("no set-user-id program can be made")
		}
		return func() { _ = os.RemoveAll(dir) }
	}
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}

// both runs a test as whoever we are and, if that is root, as an ordinary user, too.
func both(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		f(t)
		return
	}
	t.Run("root", f)
	t.Run("user", func(t *testing.T) {
		dir := t.TempDir()
		passable(t, dir)
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(t.Name(), "/")
		c := exec.Command(program, "-test.run=^"+name+"$", "-test.v", "-test.timeout=2m")
		c.Env = []string{asUser + "=1", hasty, "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + dir, "HOME=" + dir}
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Setsid: true}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("as an ordinary user: %v\n%s", err, out)
		}
	})
}

// passable lets other users through to a temporary folder of ours.
func passable(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func newSandbox(t testing.TB, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newBox(t testing.TB, s *sandbox.Sandbox, level policy.Level) *sandbox.Box {
	t.Helper()
	b, err := s.Open(t.Context(), sandbox.BoxOptions{RunID: "run_test", Level: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// at runs f for both levels, as both users, in a box of its own.
func at(t *testing.T, f func(t *testing.T, b *sandbox.Box)) {
	t.Helper()
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		for _, level := range []policy.Level{policy.LevelBasic, policy.LevelSealed} {
			t.Run(string(level), func(t *testing.T) { f(t, newBox(t, s, level)) })
		}
	})
}

// sink is a buffer that two copiers may write to, and a test read meanwhile.
type sink struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// await waits until the output holds a text.
func (s *sink) await(t testing.TB, want string) {
	t.Helper()
	for end := time.Now().Add(seconds); !strings.Contains(s.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q never came:\n%s", want, s)
		}
	}
}

func environment(b *sandbox.Box) []string {
	return append(b.Environment(), "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", hasty)
}

// start makes a process ready and lets it go.
func start(t testing.TB, b *sandbox.Box, spec sandbox.Spec) (*sandbox.Process, *sink) {
	t.Helper()
	out := &sink{}
	if spec.Stdout == nil {
		spec.Stdout = out
	}
	if spec.Stderr == nil {
		spec.Stderr = out
	}
	if spec.Env == nil {
		spec.Env = environment(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), seconds)
	defer cancel()
	p, err := b.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Wait() })
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return p, out
}

// shell runs a script to its end.
func shell(t testing.TB, b *sandbox.Box, script string, edit func(*sandbox.Spec)) (string, process.Exit) {
	t.Helper()
	spec := sandbox.Spec{Argv: []string{"/bin/sh", "-c", script}}
	if edit != nil {
		edit(&spec)
	}
	p, out := start(t, b, spec)
	exit := p.Wait()
	return out.String(), exit
}

// child runs one of children to its end, by the descriptor of the test binary.
func child(t testing.TB, b *sandbox.Box, edit func(*sandbox.Spec), args ...string) string {
	t.Helper()
	spec := childSpec(t, args...)
	if edit != nil {
		edit(&spec)
	}
	p, out := start(t, b, spec)
	p.Wait()
	return out.String()
}

func childSpec(t testing.TB, args ...string) sandbox.Spec {
	t.Helper()
	bin, err := process.OpenBinary(process.Want{Path: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bin.Close)
	// the race detector's shadow of memory counts as memory
	return sandbox.Spec{Binary: bin, Argv: append([]string{"child"}, args...), Limits: sandbox.Limits{MemoryMB: 1 << 26}}
}

// expect holds lines "name: result" to what is wanted: "ok" or a part of the error.
func expect(t testing.TB, out string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(out) {
		if name, result, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			got[name] = result
		}
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok || w == "ok" && g != "ok" || w != "ok" && (g == "ok" || !strings.Contains(g, w)) {
			t.Errorf("%s: %q, want %q\n%s", name, g, w, out)
		}
	}
}

func backgroundContext() context.Context { return context.Background() }

// readFrom copies until the end, which for a terminal is an error.
func (s *sink) readFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{s}, r) }
