package redact

import "io"

// pastLen is how far back a new Matcher looks, in bytes: the encoded forms of most secrets are shorter. Of a secret that was half written when it became known, the
// other half is masked.
const pastLen = 4 << 10

// NewSameLengthStream is NewStream for protocols that count bytes: every masked byte becomes fill.
func NewSameLengthStream(dst io.Writer, fill byte, compile func() *Matcher) *Stream {
	s := NewStream(dst, compile)
	s.fill = fill
	return s
}

// turn lets m take over. What is held back, and what was let go a moment ago, it sees again: nothing of a secret that spans the two is lost, whether the last
// Matcher knew it, for then its beginning is held, or only m does.
func (s *Stream) turn(m *Matcher) {
	if m == s.f.m {
		return
	}
	if s.f.m != nil {
		s.former = s.Report().Names
		clear(s.names)
		s.recall()
	}
	s.f.m = m
	if s.fill != 0 {
		s.same = m.SameLength(s.fill)
	}
}

// recall puts what is remembered before the held bytes again.
func (s *Stream) recall() {
	n := len(s.past)
	b := make([]byte, 0, n+len(s.buf)+joinLen)
	b = append(append(b, s.past...), s.buf...)
	clear(s.buf[:cap(s.buf)])
	s.buf, s.past, s.state = b, s.past[:0], lineState{}
	s.done += n
	if s.masked >= 0 {
		s.masked += n
	}
}

// remember keeps the end of what is dropped. It costs a copy of at most pastLen a block, and nothing where no other Matcher can come.
func (s *Stream) remember(dropped []byte) {
	if s.compile == nil || len(dropped) == 0 {
		return
	}
	if s.past == nil {
		s.past = make([]byte, 0, 2*pastLen)
	}
	if len(dropped) >= pastLen {
		s.past = append(s.past[:0], dropped[len(dropped)-pastLen:]...)
		return
	}
	if len(s.past)+len(dropped) > cap(s.past) {
		s.past = s.past[:copy(s.past, s.past[len(s.past)+len(dropped)-pastLen:])]
	}
	s.past = append(s.past, dropped...)
}
