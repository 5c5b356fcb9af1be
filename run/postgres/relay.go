package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgproto3"
)

// bufferLen is how much is read at once, and how long a message may be to be worked on whole, in bytes. A longer one is masked as it streams by.
const bufferLen = 64 << 10

// relay carries the server's messages to the child, masked. A complete message is never held back: before it waits for more, it writes what it has.
type relay struct {
	src      *bufio.Reader
	dst      io.Writer
	mask     func(io.Writer) io.WriteCloser
	received *atomic.Int64
	ready    func() // at each ReadyForQuery
	torn     bool   // dst holds a part of a message: nothing more can be said on it
	gone     bool   // dst takes nothing any more

	batch []byte // whole messages
	spans []span // what of batch may hold text
	plain masking
}

// greet sends the end of the login through the same mask.
func (r *relay) greet(messages []pgproto3.BackendMessage) error {
	if err := r.write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 0}); err != nil {
		return err
	}
	for _, m := range messages {
		out, err := m.Encode(nil)
		if err != nil {
			return err
		}
		if err := r.take(out); err != nil {
			return err
		}
	}
	return r.flush()
}

// contained makes an error of a panic, after which nobody knows what dst holds.
func (r *relay) contained(do func() error) (err error) {
	defer contain(func() { r.torn, err = true, errDefect })
	return do()
}

// run ends with the error of the side that ended first; io.EOF is the server's ordinary end.
func (r *relay) run() error {
	for {
		n, err := r.next()
		if err != nil {
			return errors.Join(r.flush(), err)
		}
		if n > bufferLen {
			if err := r.flush(); err != nil {
				return err
			}
			if err := r.stream(n); err != nil {
				r.torn = true
				return err
			}
			continue
		}
		whole, err := r.peek(n)
		if err != nil {
			return errors.Join(r.flush(), err)
		}
		if err := r.take(whole); err != nil {
			return err
		}
		_, _ = r.src.Discard(n)
	}
}

// next gives the length of the next message, its head included.
func (r *relay) next() (int, error) {
	head, err := r.peek(5)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > 1<<30+4 { // PostgreSQL's own limit of a message
		return 0, errFraming
	}
	return int(n) + 1, nil
}

// peek looks at n bytes; if it has to wait for them, it writes first.
func (r *relay) peek(n int) ([]byte, error) {
	if r.src.Buffered() < n {
		if err := r.flush(); err != nil {
			return nil, err
		}
	}
	return r.src.Peek(n)
}

// take adds a message to the batch.
func (r *relay) take(message []byte) error {
	if len(r.batch)+len(message) > bufferLen {
		if err := r.flush(); err != nil {
			return err
		}
	}
	at := len(r.batch)
	r.batch = append(r.batch, message...)
	spans, ok := spansOf(r.spans, message[0], r.batch[at+5:], at+5)
	if !ok {
		r.batch = r.batch[:at]
		return errors.Join(r.flush(), errFraming)
	}
	r.spans = spans
	if message[0] == 'Z' && r.ready != nil {
		r.ready()
	}
	return nil
}

// flush masks the batch and writes it. What could not be masked is not written.
func (r *relay) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	err := r.plain.apply(r.mask, r.batch, r.spans)
	if err == nil {
		err = r.write(r.batch)
	}
	clear(r.batch)
	r.batch, r.spans = r.batch[:0], r.spans[:0]
	return err
}

func (r *relay) write(p []byte) error {
	n, err := r.dst.Write(p)
	r.received.Add(int64(n))
	if err != nil {
		r.torn, r.gone = true, true
	}
	return err
}

// stream carries a message that is too long to be held: a row column by column, any other body as one text.
func (r *relay) stream(n int) error {
	head := make([]byte, 5, 7)
	if _, err := io.ReadFull(r.src, head); err != nil {
		return err
	}
	if head[0] != 'D' {
		if err := r.write(head); err != nil {
			return err
		}
		return r.through(n - 5)
	}
	head = head[:7]
	if _, err := io.ReadFull(r.src, head[5:]); err != nil {
		return err
	}
	if err := r.write(head); err != nil {
		return err
	}
	return r.columns(int(binary.BigEndian.Uint16(head[5:])), n-7)
}

func (r *relay) columns(count, left int) error {
	for range count {
		var head [4]byte
		if left -= 4; left < 0 {
			return errFraming
		}
		if _, err := io.ReadFull(r.src, head[:]); err != nil {
			return err
		}
		n := int(int32(binary.BigEndian.Uint32(head[:])))
		if n < -1 || n > left {
			return errFraming
		}
		if err := r.write(head[:]); err != nil {
			return err
		}
		if n > 0 {
			if err := r.through(n); err != nil {
				return err
			}
			left -= n
		}
	}
	if left != 0 {
		return errFraming
	}
	return nil
}

// through carries n bytes of text through a mask of their own.
func (r *relay) through(n int) error {
	out := &sized{dst: r.dst, left: n, received: r.received}
	w := r.mask(out)
	_, err := io.CopyN(w, r.src, int64(n))
	closing := w.Close()
	switch {
	case out.err != nil:
		r.gone = out.err != errMaskLength
		return out.err
	case err != nil || closing != nil:
		return errors.Join(errMask, err, closing)
	case out.left != 0:
		return errMaskLength
	}
	return nil
}

// sized lets through what a mask writes, and no more than it was given.
type sized struct {
	dst      io.Writer
	left     int
	received *atomic.Int64
	err      error // of dst, or of a mask that writes too much
}

func (s *sized) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if len(p) > s.left {
		s.err = errMaskLength
		return 0, s.err
	}
	n, err := s.dst.Write(p)
	s.left -= n
	s.received.Add(int64(n))
	s.err = err
	return n, err
}
