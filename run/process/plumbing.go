package process

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// plumbing is the three standard streams of one process: files passed through, or pipes with a copier each.
type plumbing struct {
	child   [3]*os.File // what the process gets as 0, 1, 2
	owned   []*os.File  // of child: ours to close after the start
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

func newPlumbing(spec Spec) (*plumbing, error) {
	pl := &plumbing{}
	err := pl.input(spec.Input, spec.Stdin)
	if err == nil {
		err = pl.output(1, spec.Stdout)
	}
	if err == nil {
		err = pl.output(2, spec.Stderr)
	}
	if err != nil {
		pl.closeChildSide()
		pl.abandon()
		return nil, err
	}
	return pl, nil
}

func (pl *plumbing) input(data []byte, file *os.File) error {
	switch {
	case file != nil:
		pl.child[0] = file
		return nil
	case data == nil:
		return pl.null(0, os.O_RDONLY)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	pl.own(0, out)
	pl.stdin = &feed{in, data}
	return nil
}

func (pl *plumbing) output(i int, w io.Writer) error {
	switch f := w.(type) {
	case nil:
		return pl.null(i, os.O_WRONLY)
	case *os.File:
		pl.child[i] = f
		return nil
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	widen(out)
	pl.own(i, in)
	pl.drains = append(pl.drains, drain{out, &gate{dst: w}})
	return nil
}

func (pl *plumbing) null(i, flag int) error {
	f, err := os.OpenFile(os.DevNull, flag, 0)
	if err != nil {
		return err
	}
	pl.own(i, f)
	return nil
}

func (pl *plumbing) own(i int, f *os.File) {
	pl.child[i] = f
	pl.owned = append(pl.owned, f)
}

func (pl *plumbing) closeChildSide() {
	for _, f := range pl.owned {
		_ = f.Close()
	}
}

// abandon closes the parent's side where no process was started.
func (pl *plumbing) abandon() {
	if pl.stdin != nil {
		_ = pl.stdin.to.Close()
	}
	for _, d := range pl.drains {
		_ = d.from.Close()
	}
}

func (pl *plumbing) run() {
	if s := pl.stdin; s != nil {
		pl.running.Go(func() {
			_, _ = s.to.Write(s.from) // a command that does not read its input is no failure
			_ = s.to.Close()
		})
	}
	for _, d := range pl.drains {
		pl.running.Go(func() {
			err := pour(d.to, d.from)
			if err != nil { // the sink refused: keep reading, so that the command does not block
				_ = pour(io.Discard, d.from)
			}
			_ = d.from.Close()
		})
	}
}

// pipeBytes is how much a command may write ahead of us, and how much we take at once: with a pipe's usual 64 KiB and io.Copy's 32, both sides spent
// more time being woken than working.
const pipeBytes = 256 << 10

// pour copies until the end. io.Copy by itself would choose a buffer of its own.
func pour(dst io.Writer, src *os.File) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, pipeBytes))
	return err
}

// finish waits for the copiers, at most delay; then it shuts the gates and closes the pipes, and says so.
func (pl *plumbing) finish(delay time.Duration) (cut bool) {
	if pl.stdin != nil {
		_ = pl.stdin.to.Close() // unblocks the feeder: nobody reads any more
	}
	var late atomic.Bool
	timer := time.AfterFunc(delay, func() {
		late.Store(true)
		for _, d := range pl.drains {
			_ = d.from.SetReadDeadline(time.Unix(1, 0))
		}
	})
	pl.running.Wait()
	timer.Stop()
	for _, d := range pl.drains {
		d.to.close()
		_ = d.from.Close()
	}
	return late.Load()
}
