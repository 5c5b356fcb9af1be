package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ErrLong says that a line was longer than the reader's bound. The rest of it has been skipped: the next line can be read.
var ErrLong = errors.New("wire: line too long")

// keep is how much of an over-long line is given with ErrLong, to find the id of the request in.
const keep = 4096

// Reader reads lines that end in a newline, none longer than its bound.
type Reader struct {
	br  *bufio.Reader
	max int
	buf []byte
}

// NewReader reads lines of at most max bytes from r.
func NewReader(r io.Reader, max int) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, 32<<10), max: max}
}

// Bound changes the bound for the lines to come.
func (r *Reader) Bound(max int) { r.max = max }

// Buffered tells whether a whole line waits to be read without waiting for the peer.
func (r *Reader) Buffered() bool {
	n := r.br.Buffered()
	if n == 0 {
		return false
	}
	b, _ := r.br.Peek(n)
	return bytes.IndexByte(b, '\n') >= 0
}

// Line gives the next line without its end; the bytes are good until the next call. A last line without an end is a line. With ErrLong come the line's
// first bytes.
func (r *Reader) Line() ([]byte, error) {
	r.buf = r.buf[:0]
	if cap(r.buf) > 1<<20 {
		r.buf = nil // one giant line must not be paid for during the whole connection
	}
	for {
		part, err := r.br.ReadSlice('\n')
		if err == nil && len(r.buf) == 0 && len(part) <= r.max+1 {
			return trim(part), nil
		}
		r.buf = append(r.buf, part...)
		if len(trim(r.buf)) > r.max {
			return r.skip(err)
		}
		switch {
		case err == nil:
			return trim(r.buf), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.buf) > 0:
			return trim(r.buf), nil
		default:
			return nil, err
		}
	}
}

func (r *Reader) skip(err error) ([]byte, error) {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.br.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return r.buf[:min(keep, len(r.buf))], ErrLong
}

func trim(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte{'\n'})
	return bytes.TrimSuffix(b, []byte{'\r'})
}
