package redact

import (
	"io"
	"slices"
	"strings"
)

// ForeignOptions of a ForeignStream.
type ForeignOptions struct {
	// Exempt are values that look like secrets on purpose: the placeholders of the run. A finding passes if it is one of them, whole and exactly: a token
	// that begins with a placeholder, or is glued to one, is masked with it. Otherwise a command that knows its placeholder could carry anything behind it.
	Exempt []string
}

// ForeignStream masks what looks like somebody's secret though no Set knows it: private key blocks, tokens of well-known services, passwords in URLs and
// login headers (the rules: foreign_*.go). It is an io.WriteCloser in front of another writer, for one goroutine at a time; it stands behind a Stream, whose
// markers pass.
//
// Promise: as of Stream, what it writes on depends on the bytes alone, not on how they were cut, and it holds back only what may still become a finding, at
// most a few KiB. A token that is longer than its rule needs is masked to its end, a private key to its END line, or for maxBlock bytes.
//
// Attacks stopped: threat-model.md 68 and 69 in part: a server's own .env, a log, a reply of an API that holds keys of third parties. It knows shapes, not
// values: what has no shape of its own (a password of letters, a key in hex), or was encoded, passes. It is a net below the net.
type ForeignStream struct {
	gathered
	exempt []string // sorted
	buf    []byte   // text: some that was decided before, for the rules to look back at, then what is not decided; in own, or in the caller's hands
	own    []byte
	base   int64    // offset of buf[0] in the stream
	pos    int      // offset in buf of the first byte that is not decided
	scan   int      // offset in buf of the next window to look at; ≤ pos+a literal
	over   *overrun // what is being masked and goes on; nil: nothing
	count  int
	names  []string
	err    error
}

// contextLen is how much text behind a decision the rules may look back at, in bytes.
const contextLen = 64

// overrun is the rest of a finding whose marker is written: more is left out as it comes.
type overrun struct {
	run   *class // while bytes are of it; nil: a block
	end   string // of a block: the literal that begins its last line
	until int64  // of a block: offset in the stream at which it is given up
}

// Foreign masks into dst.
func Foreign(dst io.Writer, o ForeignOptions) *ForeignStream {
	s := &ForeignStream{gathered: gathered{dst: dst}}
	for _, x := range o.Exempt {
		s.exempt = append(s.exempt, x)
		if id, rest, ok := strings.Cut(x, ":"); ok && numbers.all([]byte(id)) { // a bot token: its rule masks what stands behind the colon
			s.exempt = append(s.exempt, rest)
		}
	}
	slices.Sort(s.exempt)
	return s
}

// Write takes the next bytes of the text. After an error nothing more is let through.
func (s *ForeignStream) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	rest := p
	for n := joinLen; len(rest) > 0 && s.err == nil; n = len(rest) {
		n = min(n, len(rest))
		if held := len(s.own); held > 0 && held <= len(p)-len(rest) { // all of it stands in p as well: no need for a copy
			s.buf = p[len(p)-len(rest)-held : len(p)-len(rest)+n]
		} else {
			s.grow(n)
			s.own = append(s.own, rest[:n]...)
			s.buf = s.own
		}
		rest = rest[n:]
		s.err = s.process(false)
	}
	if s.err == nil {
		s.err = s.flush()
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// Close lets go what was held back and erases the stream's buffers. It does not close the writer behind.
func (s *ForeignStream) Close() error {
	err := s.err
	if err == nil {
		if err = s.process(true); err == nil {
			err = s.flush()
		}
		if s.err = err; err == nil {
			s.err = ErrClosed
		}
	}
	clear(s.own[:cap(s.own)])
	s.buf, s.own, s.pos, s.scan = nil, nil, 0, 0
	return quiet(err)
}

// Report says what was masked so far, by sort ("looks-like-a-github-token").
func (s *ForeignStream) Report() Report {
	return Report{Redactions: s.count, Names: slices.Clone(s.names)}
}

// grow makes room in own, and erases what it leaves.
func (s *ForeignStream) grow(n int) {
	if len(s.own)+n <= cap(s.own) {
		return
	}
	b := append(make([]byte, 0, max(2*cap(s.own), len(s.own)+n, 2*joinLen)), s.own...)
	clear(s.own[:cap(s.own)])
	s.own = b
}

// process decides what can be decided of buf and drops it, but for the context.
func (s *ForeignStream) process(final bool) error {
	var hold int  // what is not decided begins here
	from := s.pos // of what was decided and is not written yet
	for {
		if s.over != nil {
			if !s.leaveOut(final) {
				from, hold = s.pos, s.pos
				break
			}
			from = s.pos
		}
		f, v := s.next(final)
		if v == no {
			hold = s.tail(final)
			break
		}
		known := no
		if v == yes {
			known = s.exempted(f, final)
		}
		if v == unsure || known == unsure {
			hold = min(f.from, s.tail(final)) // a literal that began before may have its window behind this one's
			break
		}
		if known == yes {
			s.scan = max(s.scan+1, f.hi)
			continue
		}
		if err := s.mask(from, f); err != nil {
			return err
		}
		from = f.hi
		s.pos, s.scan, s.over = f.hi, f.hi, f.over
		if s.over != nil && s.over.run == nil {
			s.over.until = s.base + int64(f.lo) + maxBlock
		}
	}
	if err := s.pass(s.buf[from:max(from, hold)]); err != nil {
		return err
	}
	s.pos = max(s.pos, hold)
	s.scan = max(s.scan, min(s.pos, len(s.buf)-2), 0)
	s.drop()
	return nil
}

// mask writes what stands before a finding, and its marker.
func (s *ForeignStream) mask(from int, f finding) error {
	if err := s.pass(s.buf[from:f.lo]); err != nil {
		return err
	}
	name := "looks-like-" + f.rule.name
	s.count++
	if at, known := slices.BinarySearch(s.names, name); !known {
		s.names = slices.Insert(s.names, at, name)
	}
	return s.pass([]byte("[redacted:" + name + "]"))
}

// exempted tells whether a finding is a placeholder; unsure while it may still become one.
func (s *ForeignStream) exempted(f finding, final bool) verdict {
	if len(s.exempt) == 0 || f.over != nil && f.over.run == nil {
		return no
	}
	value := s.buf[f.lo:f.hi]
	at, same := slices.BinarySearchFunc(s.exempt, value, func(x string, v []byte) int { return strings.Compare(x, string(v)) })
	switch {
	case f.hi < len(s.buf) || final:
		if same {
			return yes
		}
	case same, at < len(s.exempt) && strings.HasPrefix(s.exempt[at], string(value)): // more of it may follow
		return unsure
	}
	return no
}

// leaveOut moves past what is still masked, and tells whether its end was seen.
func (s *ForeignStream) leaveOut(final bool) bool {
	o, b := s.over, s.buf
	if o.run != nil {
		for s.pos < len(b) && o.run[b[s.pos]] {
			s.pos++
		}
		s.scan = s.pos
		if s.pos < len(b) || final {
			s.over = nil
		}
		return s.over == nil
	}
	limit := int(min(int64(len(b)), o.until-s.base))
	hi, v := blockEnd(b[s.pos:limit], o.end, final || s.base+int64(limit) == o.until)
	s.pos += hi
	s.scan = s.pos
	if v == yes || final || s.base+int64(s.pos) >= o.until {
		s.over = nil
	}
	return s.over == nil
}

// tail gives the offset from which on buf may be the beginning of a literal.
func (s *ForeignStream) tail(final bool) int {
	n := len(s.buf)
	if final {
		return n
	}
	for at := max(s.pos, n-foreignRules().longest+1); at < n; at++ {
		if foreignRules().begins(s.buf[at:]) {
			return at
		}
	}
	return n
}

// drop forgets what was decided, but for the context, and keeps the rest in own.
func (s *ForeignStream) drop() {
	cut := max(0, min(s.pos, s.scan)-contextLen)
	kept, old := s.buf[cut:], len(s.own)
	s.own = s.own[:0]
	s.grow(len(kept))
	s.own = append(s.own, kept...)
	if old > len(s.own) {
		clear(s.own[len(s.own):old])
	}
	s.buf = s.own
	s.base += int64(cut)
	s.pos -= cut
	s.scan -= cut
}
