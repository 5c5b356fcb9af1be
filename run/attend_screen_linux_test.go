package run_test

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
)

// patience is how long a test waits for what comes at once on an idle machine.
const patience = 60 * time.Second

// screen is what a person sees of their run, and what they do.
type screen struct {
	t     *testing.T
	typed *io.PipeWriter
	acts  chan run.Act
	says  run.Decision // of changes; "": later
	asked []sandbox.Change

	mu      sync.Mutex
	more    chan struct{}
	text    [2]strings.Builder
	read    int
	blocked chan struct{} // where set, nothing is taken until it is closed
	once    sync.Once
	cut     bool
	started run.Started
	ended   run.Ended
	err     error
	done    chan struct{}
}

// attend starts a run and gives its screen.
func attend(t *testing.T, e *run.Engine, r run.AttendRequest, edit func(*screen)) *screen {
	t.Helper()
	s := &screen{t: t, acts: make(chan run.Act, 8), more: make(chan struct{}, 1), done: make(chan struct{})}
	in, typed := io.Pipe()
	s.typed = typed
	if edit != nil {
		edit(s)
	}
	if r.Actor.Type == "" {
		r.Actor = person
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(s.done)
		s.err = e.Attend(ctx, r, func() (*run.Seat, error) {
			return &run.Seat{
				Stdin: in, Stdout: pane{s, 0}, Stderr: pane{s, 1}, Acts: s.acts,
				Started: func(st run.Started) error { s.started = st; return nil },
				Decide: func(_ context.Context, c []sandbox.Change) run.Decision {
					s.asked = c
					return cmp.Or(s.says, run.Later)
				},
				Ended: func(end run.Ended) { s.ended = end },
				Cut:   s.hangUp,
			}, nil
		})
	}()
	t.Cleanup(func() { cancel(); s.hangUp(); <-s.done })
	return s
}

// pane is one of a screen's streams.
type pane struct {
	s  *screen
	of int
}

func (p pane) Write(b []byte) (int, error) {
	s := p.s
	if s.blocked != nil {
		<-s.blocked
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return 0, io.ErrClosedPipe
	}
	s.text[p.of].Write(b)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// hangUp is the end of the person's side.
func (s *screen) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cut {
		s.cut = true
		_ = s.typed.CloseWithError(io.ErrClosedPipe)
		close(s.acts)
		s.let()
	}
}

// let takes what was held up.
func (s *screen) let() {
	if s.blocked != nil {
		s.once.Do(func() { close(s.blocked) })
	}
}

func (s *screen) types(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.typed, keys); err != nil {
		s.t.Fatal(err)
	}
}

// expect waits until text comes beyond what was expected before, and gives what came until then.
func (s *screen) expect(text string) string {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		fresh := s.text[0].String()[s.read:]
		i := strings.Index(fresh, text)
		if i >= 0 {
			s.read += i + len(text)
		}
		s.mu.Unlock()
		if i >= 0 {
			return fresh[:i]
		}
		select {
		case <-s.more:
		case <-s.done:
			s.t.Fatalf("ended without %q: %q, %+v, %v", text, s.out(0), s.ended, s.err)
		case <-timeout:
			s.t.Fatalf("no %q in %q", text, fresh)
		}
	}
}

func (s *screen) out(of int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text[of].String()
}

// end waits for the run's end.
func (s *screen) end() run.Ended {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("it does not end: %q %q", s.out(0), s.out(1))
	}
	return s.ended
}

// record is what the authority kept of the run.
func (s *screen) record(h *house) vault.Run {
	s.t.Helper()
	r, err := h.GetRun(s.t.Context(), person, s.started.RunID)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// folder makes a folder without a symbolic link in its path, with files in it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
