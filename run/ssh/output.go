package ssh

import (
	"io"
	"sync/atomic"
)

// output carries what the server says on the way that suits what speaks: text as markers, terminals at the same length, as a screen is laid out by it, SFTP
// by its packets, other protocols with frames by their pauses.
func (b *bridge) output(a ask, dst io.Writer, src io.Reader, failed func(error)) {
	m := newMessages(b.o.Fill, sink{dst, &b.gone})
	defer func() {
		if m.changed {
			b.changed.Store(true)
		}
	}()
	switch {
	case b.term != nil:
		b.copy(m, m.end, src, failed)
	case a.kind == KindSubsystem && a.text == "sftp":
		b.copy(&frames{m: m}, m.end, src, failed)
	case a.kind == KindSubsystem, speaksBinary(a.line):
		piecewise(m, &shown{dst: m}, counted{src, &b.got}, failed)
	default:
		b.text(dst, src, failed)
	}
}

// text carries text. What may still become a value waits for what follows, however long that takes.
func (b *bridge) text(dst io.Writer, src io.Reader, failed func(error)) {
	w := b.o.Mask(sink{dst, &b.gone})
	b.copy(w, w.Close, src, failed)
}

// copy reads to the end even where it may not pass on: unread output would stop the other sessions of the connection to the server.
func (b *bridge) copy(dst io.Writer, end func() error, src io.Reader, failed func(error)) {
	src = counted{src, &b.got}
	defer func() { _, _ = io.Copy(io.Discard, src) }()
	defer guard(failed)
	_, err := io.CopyBuffer(struct{ io.Writer }{&shown{dst: dst}}, src, make([]byte, 32<<10))
	if e := end(); err == nil {
		err = e
	}
	if err != nil {
		failed(err)
	}
}

// guard is contain for those who carry output: it makes a withheld output of a redactor's defect.
func guard(failed func(error)) {
	if recover() != nil {
		failed(errMask)
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

// Read is that of the reader within.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// sink notes that the client takes no more, to tell that from a mask that refuses.
type sink struct {
	io.Writer
	gone *atomic.Bool
}

// Write is that of the writer within.
func (s sink) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err != nil {
		s.gone.Store(true)
	}
	return n, err
}
