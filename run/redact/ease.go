package redact

// Ease lets go what is held back, but of nothing that may still become a match more than its first n bytes. It is for a person at a terminal, who wants to see what
// they type, and for programs that ask and wait; what is captured for a model is never let go before it is decided (threat-model.md 50). However often it is called,
// n bytes of a value are all that it shows: what comes later is searched as if nothing had been let go, and the rest of a match is masked.
func (s *Stream) Ease(n int) error {
	if s.err != nil {
		return quiet(s.err)
	}
	if s.f.m == nil || s.Held() == 0 {
		return nil
	}
	if s.f.m.wiped.Load() {
		s.err = ErrWiped
		return s.err
	}
	s.f.find(s.buf, s.state, false)
	upTo := max(s.done, min(s.f.hold+n, len(s.buf)))
	s.err = s.release(s.buf, upTo)
	if s.err == nil {
		s.err = s.flush()
	}
	if s.masked < upTo {
		s.masked = -1
	}
	s.done = upTo
	return s.err
}

// Idle tells whether nothing of the text so far can be part of a match to come: another Stream may take over here.
func (s *Stream) Idle() bool { return len(s.buf) == 0 }
