package sandbox

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// streams are the three standard streams of one process: files passed through, or pipes with a copier each. As in run/process, for a command that
// is forked elsewhere.
type streams struct {
	child   [3]*os.File
	owned   []*os.File // of child: ours to close once the child has them
	input   []byte
	feed    *os.File
	drains  []drain
	running sync.WaitGroup
}

type drain struct {
	from *os.File
	to   *gate
}

// gate passes writes until it is shut: a copier that is given up on must not write into a run that has already been reported.
type gate struct {
	mu   sync.Mutex
	shut bool
	dst  io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return 0, io.ErrClosedPipe
	}
	return g.dst.Write(p)
}

func (g *gate) close() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
}

// pipeBytes is how much a command may write ahead of us, and how much we take at once.
const pipeBytes = 256 << 10

func newStreams(spec Spec) (*streams, error) {
	s := &streams{input: spec.Input}
	err := s.in(spec)
	if err == nil {
		err = s.out(1, spec.Stdout)
	}
	if err == nil {
		err = s.out(2, spec.Stderr)
	}
	if err != nil {
		s.started()
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *streams) in(spec Spec) error {
	switch {
	case spec.Stdin != nil:
		s.child[0] = spec.Stdin
		return nil
	case spec.Input == nil:
		return s.null(0, os.O_RDONLY)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.own(0, r)
	s.feed = w
	return nil
}

func (s *streams) out(i int, w io.Writer) error {
	switch f := w.(type) {
	case nil:
		return s.null(i, os.O_WRONLY)
	case *os.File:
		s.child[i] = f
		return nil
	}
	r, in, err := os.Pipe()
	if err != nil {
		return err
	}
	if raw, err := r.SyscallConn(); err == nil { // a user who has many large pipes is refused, and it stays as it was
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
	s.own(i, in)
	s.drains = append(s.drains, drain{r, &gate{dst: w}})
	return nil
}

func (s *streams) null(i, flag int) error {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err == nil {
		s.own(i, f)
	}
	return err
}

func (s *streams) own(i int, f *os.File) {
	s.child[i] = f
	s.owned = append(s.owned, f)
}

// yield gives our pipes to the user that the command runs as, so that it may open /dev/stdout anew.
func (s *streams) yield(o owner) error {
	for _, f := range s.owned {
		if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		if err := f.Chown(int(o.uid), int(o.gid)); err != nil {
			return err
		}
	}
	return nil
}

// started closes the child's side.
func (s *streams) started() {
	for _, f := range s.owned {
		_ = f.Close()
	}
	s.owned = nil
}

// abandon closes our side where no process came of it.
func (s *streams) abandon() {
	if s.feed != nil {
		_ = s.feed.Close()
	}
	for _, d := range s.drains {
		_ = d.from.Close()
	}
}

func (s *streams) run() {
	if s.feed != nil {
		s.running.Go(func() {
			_, _ = s.feed.Write(s.input) // a command that does not read its input is no failure
			_ = s.feed.Close()
		})
	}
	for _, d := range s.drains {
		s.running.Go(func() {
			if err := pour(d.to, d.from); err != nil { // the sink refused: keep reading, so that the command does not block
				_ = pour(io.Discard, d.from)
			}
			_ = d.from.Close()
		})
	}
}

// pour copies until the end. io.Copy by itself would choose a buffer of its own.
func pour(dst io.Writer, src *os.File) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, pipeBytes))
	return err
}

// finish waits for the copiers, at most delay; then it shuts the gates and closes the pipes, and says so.
func (s *streams) finish(delay time.Duration) (cut bool) {
	if s.feed != nil {
		_ = s.feed.Close() // unblocks the feeder: nobody reads any more
	}
	var late atomic.Bool
	timer := time.AfterFunc(delay, func() {
		late.Store(true)
		for _, d := range s.drains {
			_ = d.from.SetReadDeadline(time.Unix(1, 0))
		}
	})
	s.running.Wait()
	timer.Stop()
	for _, d := range s.drains {
		d.to.close()
		_ = d.from.Close()
	}
	return late.Load()
}
