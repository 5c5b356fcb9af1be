package process_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/process"
)

// TestMain lets the test binary be the command under test: argv[1] names what it does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if f, ok := children[os.Args[1]]; ok {
			f(os.Args[2:])
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var children = map[string]func(args []string){
	"child:env": func([]string) { fmt.Println(strings.Join(os.Environ(), "\n")) },
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sink collects output and tells when some text has come.
type sink struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
}

func newSink(want string) *sink { return &sink{want: want, seen: make(chan struct{})} }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.want != "" && strings.Contains(s.buf.String(), s.want)
	s.buf.Write(p)
	if s.want != "" && !before && strings.Contains(s.buf.String(), s.want) {
		close(s.seen)
	}
	return len(p), nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func start(t *testing.T, spec process.Spec) *process.Process {
	t.Helper()
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Wait() })
	return p
}

func shell(script string, out *sink) process.Spec {
	return process.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: out, Stderr: out}
}

func TestExitCodesAreTheCommands(t *testing.T) {
	for script, want := range map[string]process.Exit{
		"exit 0":        {Code: 0},
		"exit 3":        {Code: 3},
		"kill -TERM $$": {Code: 143, Signal: "SIGTERM"},
		"kill -KILL $$": {Code: 137, Signal: "SIGKILL"},
	} {
		if got := start(t, shell(script, newSink(""))).Wait(); got != want {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
}

func TestStreamsAreApart(t *testing.T) {
	out, errs := newSink(""), newSink("")
	spec := shell("cat; echo problem >&2", out)
	spec.Input, spec.Stderr = []byte("given"), errs
	start(t, spec).Wait()
	if out.String() != "given" || errs.String() != "problem\n" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
}

// The environment is exactly what was given: nothing that steers a loader, a shell or an interpreter comes from the daemon.
func TestAttack23_EnvironmentIsExact(t *testing.T) {
	for _, name := range []string{"LD_PRELOAD", "BASH_ENV", "NODE_OPTIONS", "PYTHONPATH", "GIT_SSH_COMMAND", "ZAVHOZ_AGENT_TOKEN"} {
		t.Setenv(name, "/attacker")
	}
	for _, env := range [][]string{nil, {}, {"A=1", "B=two words"}} {
		out := newSink("")
		start(t, process.Spec{Path: self(t), Argv: []string{"self", "child:env"}, Env: env, Stdout: out, Stderr: out}).Wait()
		got := strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
		if !slices.Equal(got, env) && len(got)+len(env) > 0 {
			t.Errorf("child got %q, want %q", got, env)
		}
	}
}

// What stays in the group dies with the leader: end of file on the pipe, which the grandchild holds, proves it.
func TestAttack33_TheGroupDiesWithItsLeader(t *testing.T) {
	out := newSink("")
	exit := start(t, shell("(trap '' TERM HUP; sleep 1000) & echo started; exit 7", out)).Wait()
	if exit.Code != 7 || exit.PipesCut || out.String() != "started\n" {
		t.Errorf("%+v, output %q", exit, out)
	}
}

func TestStopEndsWhoIgnoresIt(t *testing.T) {
	out := newSink("ready")
	spec := shell("trap '' TERM; echo ready; while :; do sleep 1000; done", out)
	spec.Grace = 20 * time.Millisecond
	p := start(t, spec)
	<-out.seen
	p.Stop()
	p.Stop() // twice does no harm
	if exit := p.Wait(); exit.Code != 137 {
		t.Errorf("%+v", exit)
	}
	p.Stop() // nor after the end
}

func TestStopLetsACommandTidyUp(t *testing.T) {
	out := newSink("ready")
	spec := shell("trap 'echo tidied; exit 5' TERM; echo ready; while :; do sleep 0.01; done", out)
	spec.Grace = time.Minute
	p := start(t, spec)
	<-out.seen
	p.Stop()
	if exit := p.Wait(); exit.Code != 5 || !strings.Contains(out.String(), "tidied\n") {
		t.Errorf("%+v %q", exit, out)
	}
}

// A sink that refuses must neither block nor kill the command.
func TestARefusingSinkDoesNotBlock(t *testing.T) {
	spec := shell("head -c 1000000 /dev/zero; exit 4", newSink(""))
	spec.Stdout = refuser{}
	if exit := start(t, spec).Wait(); exit.Code != 4 {
		t.Errorf("%+v", exit)
	}
}

type refuser struct{}

func (refuser) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestSpecIsChecked(t *testing.T) {
	for _, spec := range []process.Spec{{}, {Argv: []string{"x"}}, {Path: "/bin/true"}} {
		if _, err := process.Start(spec); err == nil {
			t.Errorf("%+v was accepted", spec)
		}
	}
	if _, err := process.Start(process.Spec{Path: "/nowhere/at-all", Argv: []string{"x"}}); err == nil {
		t.Error("a missing program started")
	}
}

func BenchmarkStart(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("process", func(b *testing.B) {
		for b.Loop() {
			p, err := process.Start(process.Spec{Path: "/bin/true", Argv: []string{"true"}, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}})
			if err != nil {
				b.Fatal(err)
			}
			p.Wait()
		}
	})
}

// A person's own command stays in their session and group, and is stopped alone.
func TestAttachedStaysWithItsCaller(t *testing.T) {
	out := newSink("ready")
	spec := shell(`ps -o sid= -p $$ | tr -d ' '; echo ready; exec sleep 1000`, out)
	spec.Attached = true
	p := start(t, spec)
	<-out.seen
	own, err := exec.Command("ps", "-o", "sid=", "-p", fmt.Sprint(os.Getpid())).Output()
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if exit := p.Wait(); exit.Code != 143 || !strings.HasPrefix(out.String(), strings.TrimSpace(string(own))+"\n") {
		t.Errorf("%+v %q, own session %s", exit, out, own)
	}
}
