package redact

import (
	"bytes"
	"io"
	"slices"
)

// blockLen is how much text is worked on at a time, in bytes: what fits the nearest cache.
const blockLen = 64 << 10

// Stream is a redacting io.WriteCloser in front of another writer. It is for one goroutine at a time.
//
// What it writes on depends on the bytes alone, not on how they were cut. It holds back only what may still become part of a match, however
// long that takes: a timer would let through what drips slowly (threat-model.md 50). Close lets the rest go; it does not close the writer behind.
type Stream struct {
	gathered
	compile func() *Matcher // nil: fixed, always
	fixed   *Matcher
	f       finder
	buf     []byte // text from the last keep on
	done    int    // bytes of buf that were released or masked
	masked  int    // offset in buf up to which an already announced match goes; -1: none touches done
	state   lineState
	names   map[uint32]struct{}
	count   int
	err     error
	same    *SameLength // nil: markers or Options.Fill
	fill    byte        // of same, which is made anew with each Matcher; 0: it is given
	past    []byte      // the last bytes before buf, for a Matcher to come
	former  []string    // names that former Matchers found
	known   func(name string) bool
	cover   string // what is left to write of the stand-in of the range at masked
}

// NewStream redacts into dst by the Matcher that compile gives. It is asked at each Write, so that a secret which becomes known is masked from then on: another
// Matcher than before takes over, and must know all that the last one knew.
func NewStream(dst io.Writer, compile func() *Matcher) *Stream {
	return &Stream{gathered: gathered{dst: dst}, compile: compile, masked: -1}
}

// Stream redacts into dst.
func (m *Matcher) Stream(dst io.Writer) *Stream {
	return &Stream{gathered: gathered{dst: dst}, fixed: m, masked: -1}
}

// Write takes the next bytes of the text. After an error nothing more is let through.
func (s *Stream) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	switch {
	case len(p) == 0:
	case s.compile != nil:
		s.turn(s.compile())
	default:
		s.f.m = s.fixed
	}
	n, err := s.take(p)
	if err == nil {
		err = s.flush()
	}
	s.err = err
	return n, err
}

func (s *Stream) take(p []byte) (int, error) {
	rest := p
	if err := s.join(&rest); err != nil {
		return 0, err
	}
	for n := blockLen; len(rest) > 0; n += blockLen {
		n = min(n, len(rest))
		keep, err := s.process(rest[:n], false)
		if err != nil {
			return len(p) - len(rest), err
		}
		if n == len(rest) {
			s.grow(n - keep)
			s.buf = append(s.buf, rest[keep:]...)
			break
		}
		if keep > 0 { // else look at more
			rest, n = rest[keep:], 0
		}
	}
	return len(p), nil
}

// joinLen is how much is put behind kept bytes at first, in bytes: most often the kept ones are then decided, and the rest of the caller's
// bytes need no copy.
const joinLen = 512

// join works on what was kept and the beginning of rest, until nothing is kept or rest is used up.
func (s *Stream) join(rest *[]byte) error {
	for n := joinLen; len(s.buf) > 0 && len(*rest) > 0; n *= 2 {
		old := len(s.buf)
		n = min(n, len(*rest), blockLen)
		s.grow(n)
		s.buf = append(s.buf, (*rest)[:n]...)
		keep, err := s.process(s.buf, false)
		if err != nil {
			return err
		}
		if keep >= old {
			*rest = (*rest)[keep-old:]
			clear(s.buf)
			s.buf = s.buf[:0]
			if len(*rest) == 0 {
				return nil
			}
			if n == len(*rest)+keep-old { // all of it was seen: keep the tail
				s.buf = append(s.buf, *rest...)
				*rest = nil
			}
			return nil
		}
		*rest = (*rest)[n:]
		s.buf = s.buf[:copy(s.buf, s.buf[keep:])]
	}
	return nil
}

// Close lets go what was held back and erases the stream's buffers.
func (s *Stream) Close() error {
	if s.err != nil {
		s.wipe()
		return quiet(s.err)
	}
	var err error
	if s.f.m != nil {
		if s.compile != nil && len(s.buf) > 0 {
			s.turn(s.compile())
		}
		if _, err = s.process(s.buf, true); err == nil {
			err = s.flush()
		}
	}
	s.err = err
	if err == nil {
		s.err = ErrClosed
	}
	s.wipe()
	return err
}

func quiet(err error) error {
	if err == ErrClosed {
		return nil
	}
	return err
}

// Held is the number of bytes that are held back.
func (s *Stream) Held() int { return len(s.buf) - s.done }

// Report says what was redacted so far. Values that were seen but whose match may still grow are not in it.
func (s *Stream) Report() Report {
	r := Report{Redactions: s.count, Names: slices.Clone(s.former)}
	for n := range s.names {
		r.Names = append(r.Names, s.f.m.names[n])
	}
	slices.Sort(r.Names)
	r.Names = slices.Compact(r.Names)
	return r
}

// grow makes room, and erases the buffer that it leaves: it may have held part of a value.
func (s *Stream) grow(n int) {
	if len(s.buf)+n <= cap(s.buf) {
		return
	}
	b := append(make([]byte, 0, max(2*cap(s.buf), len(s.buf)+n, 512)), s.buf...)
	clear(s.buf)
	s.buf = b
}

func (s *Stream) wipe() {
	clear(s.buf[:cap(s.buf)])
	clear(s.past[:cap(s.past)])
	clear(s.f.view.own[:cap(s.f.view.own)])
	clear(s.f.hex.sym[:cap(s.f.hex.sym)])
	s.buf, s.done = s.buf[:0], 0
}

// process releases what is decided of text and gives the offset from which on text must be seen again, then as the beginning of the next.
func (s *Stream) process(text []byte, final bool) (keep int, err error) {
	if s.f.m.wiped.Load() {
		return 0, ErrWiped
	}
	s.f.find(text, s.state, final)
	upTo := max(s.f.hold, s.done)
	if err := s.release(text, upTo); err != nil {
		return 0, err
	}
	keep = min(s.f.keep, upTo)
	s.state = stateAt(text, keep, s.state)
	if s.masked < upTo {
		s.masked = -1
	} else {
		s.masked -= keep
	}
	s.done = upTo - keep
	s.remember(text[:keep])
	return keep, nil
}

// release writes text[done:upTo] on, with the spans masked. Spans that begin before upTo are all known.
func (s *Stream) release(text []byte, upTo int) error {
	pos := s.done
	for _, sp := range s.f.spans {
		if sp.lo >= upTo {
			break
		}
		if sp.hi <= s.done { // seen again, released before
			continue
		}
		s.note(sp)
		if s.masked < sp.lo { // a new range, not one that overlaps or touches the last
			if err := s.fillTo(text, &pos, min(s.masked, upTo)); err != nil {
				return err
			}
			if err := s.pass(text[pos:max(pos, sp.lo)]); err != nil {
				return err
			}
			pos = max(pos, sp.lo)
			s.count++
			if s.same != nil {
				s.cover = s.same.standFor(sp)
			} else if s.f.m.opts.Fill == 0 {
				if err := s.pass([]byte(s.mark(sp.p.name))); err != nil {
					return err
				}
			}
		}
		s.masked = max(s.masked, sp.hi)
	}
	if err := s.fillTo(text, &pos, min(s.masked, upTo)); err != nil {
		return err
	}
	return s.pass(text[pos:max(pos, upTo)])
}

// Known limits the names that markers give: a value whose name known refuses is marked by "[redacted]" alone. Who reads the output may not know what else there is.
// Call it before the first byte.
func (s *Stream) Known(known func(name string) bool) { s.known = known }

func (s *Stream) mark(name uint32) string {
	if s.known != nil && !s.known(s.f.m.names[name]) {
		return "[redacted]"
	}
	return s.f.m.marks[name]
}

// fillTo leaves out text[*pos:to], or writes as many fill bytes.
func (s *Stream) fillTo(text []byte, pos *int, to int) error {
	if to <= *pos {
		return nil
	}
	n := to - *pos
	*pos = to
	if s.same != nil {
		return s.pass(s.coverOf(n))
	}
	if c := s.f.m.opts.Fill; c != 0 {
		return s.pass(bytes.Repeat([]byte{c}, n))
	}
	return nil
}

func (s *Stream) note(sp span) {
	if s.names == nil {
		s.names = map[uint32]struct{}{}
	}
	s.names[sp.p.name] = struct{}{}
	for _, n := range s.f.m.also[sp.p.off] {
		s.names[n] = struct{}{}
	}
}
