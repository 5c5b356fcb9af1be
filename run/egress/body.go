package egress

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/zavhoz/zavhoz/run/redact"
)

// chunk is how much of a body is moved at a time, in bytes: a few records of TLS.
const chunk = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// errCut ends a reply in the middle: the run is over its budget, or nothing can be recorded.
var errCut = errors.New("egress: the reply was cut")

// relay moves a body to the command, searched, as it comes: what was read is passed on before more is read, but for the bytes at the end that may still become
// part of a match. Those wait for as long as it takes (threat-model.md 50).
func (x *exchange) relay(w io.Writer, flush func() error, body io.Reader, length int64) error {
	buf := chunks.Get().(*[chunk]byte)
	defer func() {
		clear(buf[:])
		chunks.Put(buf)
	}()
	out := &countedWriter{w: w}
	defer func() { x.event.Down += out.n }()
	dst := io.Writer(out)
	if x.trim != nil {
		x.trim.w, dst = out, x.trim
	}
	n, err := body.Read(buf[:])
	if x.trim == nil && int64(n) == length && err == io.EOF { // all at once
		found, err := mask(x.views, buf[:n])
		if err == nil && !x.count(found) {
			err = errCut
		}
		if err == nil {
			_, err = out.Write(buf[:n])
		}
		return err
	}
	s := newStreams(x.views, dst)
	for {
		if n > 0 {
			if werr := x.pass(s, buf[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return errors.Join(s.Close(), x.tally(s))
		case err != nil:
			return err
		}
		if out.fresh && flush != nil {
			out.fresh = false
			if err := flush(); err != nil {
				return err
			}
		}
		if x.p.halted.Load() != nil {
			return errCut
		}
		n, err = body.Read(buf[:])
	}
}

func (x *exchange) pass(s *streams, b []byte) error {
	_, err := s.Write(b)
	return errors.Join(err, x.tally(s))
}

// tally counts what a stream found since the last time.
func (x *exchange) tally(s *streams) error {
	if !x.count(s.fresh()) {
		return errCut
	}
	return nil
}

// streams is a row of redacting streams, one behind the other.
type streams struct {
	io.Writer
	row  []*redact.Stream
	seen int
}

func newStreams(views []*redact.SameLength, dst io.Writer) *streams {
	s := &streams{Writer: dst, row: make([]*redact.Stream, len(views))}
	for i := len(views) - 1; i >= 0; i-- {
		s.row[i] = views[i].Stream(s.Writer)
		s.Writer = s.row[i]
	}
	return s
}

// Close lets out what was held back, from the first stream through to the last.
func (s *streams) Close() error {
	for _, r := range s.row {
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

// fresh is the number of matches since the last call.
func (s *streams) fresh() int {
	now := 0
	for _, r := range s.row {
		now += r.Redactions()
	}
	n := now - s.seen
	s.seen = now
	return n
}

// countedWriter counts, and knows whether something was written since fresh was cleared.
type countedWriter struct {
	w     io.Writer
	n     int64
	fresh bool
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.fresh = c.fresh || n > 0
	return n, err
}

// flusher gives what passes on written bytes of w at once.
func flusher(w http.ResponseWriter) func() error {
	return http.NewResponseController(w).Flush
}

// gunzip unpacks a body as it comes. What it makes is not kept, so a bomb costs time only, and that is the command's.
type gunzip struct {
	body  io.ReadCloser
	z     *gzip.Reader
	ended bool
}

var unzippers sync.Pool

func newGunzip(body io.ReadCloser) *gunzip { return &gunzip{body: body} }

func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.ended {
		return 0, io.EOF
	}
	if g.z == nil { // the first bytes are waited for here, not before the header goes out
		if z, ok := unzippers.Get().(*gzip.Reader); ok {
			g.z, err = z, z.Reset(g.body)
		} else {
			g.z, err = gzip.NewReader(g.body)
		}
		if err != nil {
			g.z = nil
			return 0, err
		}
	}
	if n, err = g.z.Read(p); err == io.EOF {
		g.ended = true
		unzippers.Put(g.z)
	}
	return n, err
}

func (g *gunzip) Close() error { return g.body.Close() }
