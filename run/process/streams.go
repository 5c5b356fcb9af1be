package process

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Streams are the three standard streams of one process: files passed through, or pipes with a copier each. They serve whoever forks, also where that is
// not this package.
type Streams struct {
	Child   [3]*os.File // what the process gets as 0, 1, 2
	Owned   []*os.File  // of Child: closed by Started
	stdin   *feed
	drains  []drain
	running sync.WaitGroup
}

type feed struct {
	to   *os.File
	from []byte
}

type drain struct {
	from *os.File
	to   *gate
	cut  *atomic.Bool // given up on while somebody could still write
}

// gate passes writes until it is shut: a copier that is given up on must not write into a run that has already been reported.
type gate struct {
	shut atomic.Bool
	dst  io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	if g.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	return g.dst.Write(p)
}

// NewStreams makes the pipes. Without input and stdin the process reads the null device; what it writes to a nil writer is discarded; an *os.File is passed as
// it is.
func NewStreams(input []byte, stdin *os.File, stdout, stderr io.Writer) (*Streams, error) {
	s := &Streams{}
	err := s.input(input, stdin)
	if err == nil {
		err = s.output(1, stdout)
	}
	if err == nil {
		err = s.output(2, stderr)
	}
	if err != nil {
		s.Started()
		s.Abandon()
		return nil, err
	}
	return s, nil
}

func (s *Streams) input(data []byte, file *os.File) error {
	switch {
	case file != nil:
		s.Child[0] = file
		return nil
	case data == nil:
		return s.null(0, os.O_RDONLY)
	}
	out, in, err := pipe()
	if err != nil {
		return err
	}
	s.own(0, out)
	s.stdin = &feed{in, data}
	return nil
}

func (s *Streams) output(i int, w io.Writer) error {
	switch f := w.(type) {
	case nil:
		return s.null(i, os.O_WRONLY)
	case *os.File:
		s.Child[i] = f
		return nil
	}
	out, in, err := pipe()
	if err != nil {
		return err
	}
	widen(out)
	s.own(i, in)
	s.drains = append(s.drains, drain{out, &gate{dst: w}, &atomic.Bool{}})
	return nil
}

// pipe makes one whose reading end can be given up on: where the runtime cannot wait for it, a descendant that keeps it open would keep a reader for good.
func pipe() (out, in *os.File, err error) {
	if out, in, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	if err := out.SetReadDeadline(time.Time{}); err != nil && runtime.GOOS != "windows" { // there a job ends all that could hold it
		_, _ = out.Close(), in.Close()
		return nil, nil, err
	}
	return out, in, nil
}

func (s *Streams) null(i, flag int) error {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err != nil {
		return err
	}
	s.own(i, f)
	return nil
}

func (s *Streams) own(i int, f *os.File) {
	s.Child[i] = f
	s.Owned = append(s.Owned, f)
}

// Started closes the child's side, once it has it.
func (s *Streams) Started() {
	for _, f := range s.Owned {
		_ = f.Close()
	}
	s.Owned = nil
}

// Abandon closes the parent's side where no process was started.
func (s *Streams) Abandon() {
	if s.stdin != nil {
		_ = s.stdin.to.Close()
	}
	for _, d := range s.drains {
		_ = d.from.Close()
	}
}

// Run starts the copiers. Finish waits for them.
func (s *Streams) Run() {
	if in := s.stdin; in != nil {
		s.running.Go(func() {
			_, _ = in.to.Write(in.from) // a command that does not read its input is no failure
			_ = in.to.Close()
		})
	}
	for _, d := range s.drains {
		s.running.Go(func() {
			if !d.pour(d.to) { // the sink refused: keep reading, so that the command does not block
				d.pour(io.Discard)
			}
			_ = d.from.Close()
		})
	}
}

// pipeBytes is how much a command may write ahead of us, and how much we take at once: with a pipe's usual 64 KiB and io.Copy's 32, both sides spent
// more time being woken than working.
const pipeBytes = 256 << 10

// pour copies until the end; false: dst refused. When it is too late to wait for more, what was written before is still taken: a reader that stopped for a while (a
// pager, a terminal) loses nothing.
func (d drain) pour(dst io.Writer) (taken bool) {
	buf := make([]byte, pipeBytes)
	for {
		n, err := d.from.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return false
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return d.last(dst, buf)
		}
		if err != nil {
			return true
		}
	}
}

// last takes what the pipe holds now, and not what somebody goes on writing.
func (d drain) last(dst io.Writer, buf []byte) (taken bool) {
	for left := pipeBytes; left > 0; {
		n, err := readNow(d.from, buf[:min(left, len(buf))])
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			break
		}
		left -= n
	}
	d.cut.Store(true)
	return true
}

// Finish waits for the copiers after the process's end: at most delay for who else holds the pipes, and for a writer that blocks as long as it takes, until
// killed is closed and another delay has passed. Then it gives up on what is late: the gates are shut, the pipes closed, and it says so.
func (s *Streams) Finish(delay time.Duration, killed <-chan struct{}) (cut bool) {
	if s.stdin != nil {
		_ = s.stdin.to.Close() // unblocks the feeder: nobody reads any more
	}
	timer := time.AfterFunc(delay, func() {
		for _, d := range s.drains {
			_ = d.from.SetReadDeadline(time.Unix(1, 0))
		}
	})
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-killed:
		select {
		case <-done:
		case <-time.After(2 * delay): // the readers were given up on after one
			cut = true
		}
	}
	timer.Stop()
	for _, d := range s.drains {
		d.to.shut.Store(true)
		_ = d.from.Close()
		cut = cut || d.cut.Load()
	}
	return cut
}
