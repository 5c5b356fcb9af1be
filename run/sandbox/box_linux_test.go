package sandbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestExitCodesAreTheCommands(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		for script, want := range map[string]process.Exit{
			"exit 0":        {Code: 0},
			"exit 3":        {Code: 3},
			"kill -TERM $$": {Code: 143, Signal: "SIGTERM"},
			"kill -KILL $$": {Code: 137, Signal: "SIGKILL"},
		} {
			if out, got := shell(t, b, script, nil); got != want || out != "" {
				t.Errorf("%s: %+v %q, want %+v", script, got, out, want)
			}
		}
	})
}

func TestStreamsAreApart(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		problems := &sink{}
		out, _ := shell(t, b, "cat; echo problem >&2; echo again >/dev/stdout", func(s *sandbox.Spec) { s.Input, s.Stderr = []byte("given "), problems })
		if out != "given again\n" || problems.String() != "problem\n" {
			t.Errorf("stdout %q, stderr %q", out, problems)
		}
		if out, _ := shell(t, b, "cat; echo $?", nil); out != "0\n" {
			t.Errorf("no input is the null device: %q", out)
		}
	})
}

// counter takes the output as it comes.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func TestMuchOutput(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		const size = 100 << 20
		c := &counter{}
		if _, exit := shell(t, b, "head -c 104857600 /dev/zero", func(s *sandbox.Spec) { s.Stdout = c }); exit.Code != 0 || c.n != size {
			t.Errorf("%+v, %d bytes", exit, c.n)
		}
	})
}

func TestTheHomeIsPrivateAndEmpty(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out, _ := shell(t, b, `pwd; echo "$HOME"; find . -type f; id -u; touch x && echo wrote; mktemp >/dev/null && echo temporary`, nil)
		lines := strings.Split(out, "\n")
		if len(lines) < 5 || lines[0] != b.Home() || lines[1] != b.Home() || lines[2] == "0" || lines[3] != "wrote" || lines[4] != "temporary" {
			t.Errorf("got %q", out)
		}
	})
}

func TestAMissingCommandIsKnownBeforeTheStart(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		for _, name := range []string{"no-such-command", "/no/such/command", "./relative"} {
			_, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{name}, Env: environment(b)})
			if fault.CodeOf(err) != fault.BinaryMissing || fault.Of(err).Code.Of().Exit != 127 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh"}, Env: []string{"PATH=bin:."}}); fault.CodeOf(err) != fault.BinaryMissing {
			t.Errorf("a relative PATH: %v", err)
		}
		plain := filepath.Join(b.Home(), "text")
		p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{plain}, Env: environment(b), Files: []sandbox.File{{Path: plain, Data: []byte("no program"), Mode: 0o555}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); fault.CodeOf(err) != fault.BinaryMissing {
			t.Errorf("what is no program: %v", err)
		}
		if exit := p.Wait(); exit.Code != 127 {
			t.Errorf("%+v", exit)
		}
	})
}

func TestFilesAreSeenAndCannotBeChanged(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		big := strings.Repeat("0123456789abcdef", 1<<14)
		config := filepath.Join(b.Home(), ".config/tool/settings")
		files := []sandbox.File{{Path: config, Data: []byte("set"), Mode: 0o600}, {Path: filepath.Join(b.Home(), "big"), Data: []byte(big)}, {Path: filepath.Join(b.Home(), "empty")}}
		out, _ := shell(t, b, `cat .config/tool/settings; sha256sum <big; cat empty; echo x 2>/dev/null >big || echo refused; touch .config/tool/beside && echo beside`,
			func(s *sandbox.Spec) { s.Files = files })
		sum := sha256.Sum256([]byte(big))
		if want := "set" + hex.EncodeToString(sum[:]) + "  -\nrefused\nbeside\n"; out != want {
			t.Errorf("got %q, want %q", out, want)
		}
	})
}

func TestNamedBoxesReplaceSystemFiles(t *testing.T) {
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		b := newBox(t, s, policy.LevelSealed)
		spec := func(s *sandbox.Spec) {
			s.Files = []sandbox.File{{Path: "/etc/hosts", Data: []byte("127.0.0.2 api.example\n")}, {Path: "/etc/ssl/certs/ca-certificates.crt", Data: []byte("bundle\n")},
				{Path: "/etc/ssh/ssh_config", Data: []byte("config\n")}, {Path: filepath.Join(b.Home(), "one"), Data: []byte("one\n")}, {Path: "/opt/tool/two", Data: []byte("two\n")}}
		}
		out, _ := shell(t, b, `cat /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/ssh/ssh_config one /opt/tool/two
for f in /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/ssh/ssh_config one /opt/tool/two; do (echo x >$f) 2>/dev/null; rm -f $f 2>/dev/null; mv $f ${f}x 2>/dev/null; chmod 777 $f 2>/dev/null; cat $f >/dev/null || echo lost $f; done
cat one; getent hosts api.example`, spec)
		if want := "127.0.0.2 api.example\nbundle\nconfig\none\ntwo\none\n127.0.0.2       api.example\n"; out != want {
			t.Errorf("got %q, want %q", out, want)
		}
		basic := newBox(t, s, policy.LevelBasic)
		if _, err := basic.Start(t.Context(), sandbox.Spec{Argv: []string{"sh"}, Env: environment(b), Files: []sandbox.File{{Path: "/etc/hosts"}}}); fault.CodeOf(err) != fault.IsolationMissing {
			t.Errorf("at basic: %v", err)
		}
		for _, p := range []string{"relative", "/", "/a/../b", "/proc/x", "/dev/null", "/a\x00"} {
			if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh"}, Env: environment(b), Files: []sandbox.File{{Path: p}}}); fault.CodeOf(err) != fault.InvalidArgument {
				t.Errorf("%q: %v", p, err)
			}
		}
	})
}

func TestInheritedDescriptorsCanBeOpenedAnew(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		fd, err := unix.MemfdCreate("delivered", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "delivered")
		defer f.Close()
		if err := errors.Join(f.Chmod(0o600), writeAll(f, "delivered")); err != nil {
			t.Fatal(err)
		}
		if out, _ := shell(t, b, "cat /proc/self/fd/3; ls /proc/self/fd | wc -l", func(s *sandbox.Spec) { s.Inherit = []*os.File{f} }); out != "delivered5\n" {
			t.Errorf("got %q", out) // 0, 1, 2, 3, and what ls reads
		}
	})
}

func writeAll(w io.Writer, s string) error { _, err := io.WriteString(w, s); return err }

func TestPinnedBinaries(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir := t.TempDir()
		tool := filepath.Join(dir, "tool")
		script := "#!/bin/sh -e\necho honest \"$@\"\n"
		if err := os.WriteFile(tool, []byte(script), 0o700); err != nil { // nobody else may read it
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(script))
		bin, err := process.OpenBinary(process.Want{Path: tool, SHA256: hex.EncodeToString(sum[:])})
		if err != nil {
			t.Fatal(err)
		}
		defer bin.Close()
		if err := os.Remove(tool); err != nil { // the descriptor is what is executed
			t.Fatal(err)
		}
		p, out := start(t, b, sandbox.Spec{Binary: bin, Argv: []string{"tool", "a", "b c"}})
		if p.Wait(); out.String() != "honest a b c\n" {
			t.Errorf("got %q", out)
		}
	})
}

func TestStopKillAndCancel(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		p, out := start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", "trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.01; done"}})
		out.await(t, "up")
		p.Stop()
		if exit := p.Wait(); exit.Code != 5 || !strings.Contains(out.String(), "asked") {
			t.Errorf("stop: %+v %s", exit, out)
		}
		p, out = start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", "trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 0.01; done"}, Grace: time.Millisecond})
		out.await(t, "up")
		p.Stop()
		if exit := p.Wait(); exit.Code != 137 || exit.PipesCut {
			t.Errorf("what does not heed is killed, its orphans too: %+v", exit)
		}
		p, out = start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", "echo up; sleep 1000"}})
		out.await(t, "up")
		p.Kill()
		if exit := p.Wait(); exit.Code != 137 || exit.Signal != "SIGKILL" {
			t.Errorf("kill: %+v", exit)
		}
		p.Stop() // and afterwards nothing
		p.Kill()
		ready, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sleep", "1000"}, Env: environment(b)})
		if err != nil {
			t.Fatal(err)
		}
		ready.Stop()
		if exit := ready.Wait(); exit.Code != 137 {
			t.Errorf("before the word: %+v", exit)
		}
		if err := ready.Run(); err == nil {
			t.Error("ran after its end")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := b.Start(ctx, sandbox.Spec{Argv: []string{"sleep", "1000"}, Env: environment(b)}); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("canceled: %v", err)
		}
	})
}

func TestRunsOnceAndOnlyThen(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out := &sink{}
		p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"echo", "ran"}, Env: environment(b), Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Done():
			t.Error("ended before the word")
		case <-time.After(50 * time.Millisecond):
		}
		if out.String() != "" {
			t.Error("ran before the word")
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); !errors.Is(err, sandbox.ErrStarted) {
			t.Errorf("twice: %v", err)
		}
		if p.Wait(); out.String() != "ran\n" {
			t.Errorf("got %q", out)
		}
	})
}
