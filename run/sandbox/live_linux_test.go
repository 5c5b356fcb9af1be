package sandbox

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Each wait of an end, with what it waits for never coming.

const anyEnd = 45 * time.Second // of a wait whose bound is far lower: a loaded machine

// levels runs f with a process that stands before its exec, at each level.
func levels(t *testing.T, argv []string, f func(t *testing.T, b *Box, p *Process)) {
	t.Helper()
	for _, level := range []policy.Level{policy.LevelBasic, policy.LevelSealed} {
		t.Run(string(level), func(t *testing.T) {
			s, err := New(Options{TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.ids.choose { // the run's user passes through to its home
				for _, d := range []string{s.o.TempDir, s.o.TempDir + "/.."} {
					if err := os.Chmod(d, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.patience = 50 * time.Millisecond
			b, err := s.Open(t.Context(), BoxOptions{Level: level})
			if err != nil {
				t.Fatal(err)
			}
			p, err := b.start(t.Context(), Spec{Argv: argv, Env: []string{"PATH=/usr/bin:/bin"}})
			if err != nil {
				t.Fatal(err)
			}
			b.live[p] = true
			f(t, b, p)
		})
	}
}

func ends(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(anyEnd):
		t.Fatal("its end is waited for, for good")
	}
}

// Somebody else holds the pipe that tells of the exec.
func TestAnExecPipeThatStaysOpenDelaysNoEnd(t *testing.T) {
	levels(t, []string{"true"}, func(t *testing.T, _ *Box, p *Process) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		_ = p.execs.Close()
		p.execs = r
		go p.live()
		ran := make(chan error, 1)
		go func() { ran <- p.Run() }()
		ends(t, p)
		if err := <-ran; err != nil || p.Wait().Code != 0 {
			t.Errorf("%v %+v", err, p.Wait())
		}
	})
}

// Its notes are lost, and the other end of its socket stays open.
func TestASocketThatStaysOpenDelaysNoEnd(t *testing.T) {
	levels(t, []string{"sleep", "1000"}, func(t *testing.T, _ *Box, p *Process) {
		ours, theirs, err := pair()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		_ = p.ctl.Close()
		if p.ctl, err = unixConn(ours); err != nil {
			t.Fatal(err)
		}
		go p.live()
		p.Stop() // before Run
		ends(t, p)
		if exit := p.Wait(); exit.Code != 137 {
			t.Errorf("%+v", exit)
		}
	})
}

// The first process does not end: nobody waits for it for good, and nobody keeps what it may still write.
func TestAProcessThatDoesNotEndIsGivenUp(t *testing.T) {
	levels(t, []string{"sleep", "1000"}, func(t *testing.T, b *Box, p *Process) {
		real := p.shim
		r, w, err := os.Pipe() // a pidfd that is never readable
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		p.shim = child{real.pid, r}
		go p.live()
		if err := p.Run(); err != nil {
			t.Error(err)
		}
		p.Kill()
		ends(t, p)
		if err := b.Keep(); fault.CodeOf(err) != fault.Busy {
			t.Errorf("kept under a process that may live: %v", err)
		}
		if _, err := b.Changes(); fault.CodeOf(err) != fault.Busy {
			t.Errorf("listed under a process that may live: %v", err)
		}
		_ = real.signal(unix.SIGKILL, 0)
		real.gone()
		_ = real.pidfd.Close()
	})
}

// Somebody of the same user stopped the first process: it is woken to end, or ended.
func TestAStoppedFirstProcessEnds(t *testing.T) {
	levels(t, []string{"sleep", "1000"}, func(t *testing.T, _ *Box, p *Process) {
		go p.live()
		if err := p.Run(); err != nil {
			t.Error(err)
		}
		if err := p.shim.signal(unix.SIGSTOP, 0); err != nil {
			t.Fatal(err)
		}
		p.Kill()
		ends(t, p)
		if p.left || p.Wait().Code != 137 {
			t.Errorf("left %v, %+v", p.left, p.Wait())
		}
	})
}

// A command whose first process dies at once is not let go by itself.
func TestACommandWithoutItsFirstProcessDoesNotStart(t *testing.T) {
	levels(t, []string{"sleep", "1000"}, func(t *testing.T, _ *Box, p *Process) {
		_ = p.shim.signal(unix.SIGKILL, 0)
		p.shim.gone()
		go p.live()
		_ = p.Run()
		ends(t, p)
		command := child{pidfd: p.command}
		if err := command.signal(0, 0); err == nil {
			t.Error("the command lives")
		}
	})
}
