package redact

import (
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// FloorLen is the length in bytes under which a value cannot be told from ordinary text.
const FloorLen = 8

var (
	// ErrShort warns that a value is shorter than Options.MinLen: it is matched raw if Options.AllowShort is set, else not at all.
	ErrShort = errors.New("redact: the value is too short to be redacted reliably")
	// ErrWiped is what a Stream gives after its Matcher's Wipe: it withholds, for it can no longer tell a secret.
	ErrWiped = errors.New("redact: the matcher was wiped")
	// ErrClosed is what a Stream gives after Close.
	ErrClosed = errors.New("redact: the stream is closed")
)

// Options of a Set. The zero value is ready to use.
type Options struct {
	// MinLen is the length in bytes under which Add warns. Default and least: FloorLen.
	MinLen int
	// AllowShort matches values shorter than MinLen raw (no encodings). One byte is enough to mask half a text: the caller decides.
	AllowShort bool
	// Fill, if not 0, masks every byte of a match by this byte, so that lengths stay (egress: Content-Length, ranges). Default: one marker a match.
	Fill byte
	// Marker gives the text that stands for a match of the value called name. Default: "[redacted:" + name + "]".
	Marker func(name string) string
}

func (o *Options) setDefaults() {
	o.MinLen = max(o.MinLen, FloorLen)
	if o.Marker == nil {
		o.Marker = func(name string) string { return "[redacted:" + name + "]" }
	}
}

// Set gathers the values to redact. It is safe for concurrent use; a Matcher knows what was added before it was compiled.
type Set struct {
	opts  Options
	mu    sync.Mutex
	names []string
	vals  []secret.Secret
	built *Matcher
	older []*Matcher // built before something was added
	wiped bool       // and nothing was added since
}

// NewSet makes an empty Set.
func NewSet(o Options) *Set {
	o.setDefaults()
	return &Set{opts: o}
}

// Add adds a copy of value under a public name such as "weather_bot.token": the name stands in markers and reports. An empty value is
// ignored. ErrShort is a warning: see there.
func (s *Set) Add(name string, value secret.Secret) error {
	n := value.Len()
	if n == 0 {
		return nil
	}
	if n < s.opts.MinLen && !s.opts.AllowShort {
		return ErrShort
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
	s.vals = append(s.vals, value.Clone())
	s.renew()
	if n < s.opts.MinLen {
		return ErrShort
	}
	return nil
}

// renew runs under mu, when a value was added.
func (s *Set) renew() {
	if s.built != nil {
		s.older = append(s.older, s.built)
	}
	s.built, s.wiped = nil, false
}

// Inherit adds what o has and s has not. A Stream goes over only to a Matcher that knows all that its last one knew.
func (s *Set) Inherit(o *Set) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	have := make(map[string]struct{}, len(s.vals))
	for _, v := range s.vals {
		have[string(sum(v))] = struct{}{}
	}
	for i, v := range o.vals {
		if _, twice := have[string(sum(v))]; !twice {
			s.names, s.vals = append(s.names, o.names[i]), append(s.vals, v.Clone())
			s.renew()
		}
	}
}

// sum tells values apart without keeping a copy of any.
func sum(v secret.Secret) []byte {
	d := sha256.Sum256(v.Reveal())
	return d[:]
}

// Len is the number of values.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.vals)
}

// Compile builds the Matcher, once for the values added so far. Of a wiped Set it is a wiped one.
func (s *Set) Compile() *Matcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.built == nil {
		b := newBuilder(s.opts, s.names)
		for i, v := range s.vals {
			b.value(uint32(i), v.Reveal())
		}
		s.built = b.matcher()
		if s.wiped {
			s.built.Wipe()
		}
	}
	return s.built
}

// Stream redacts into dst; the set is compiled when the first byte comes, so starting a run costs nothing, and anew when something was added.
func (s *Set) Stream(dst io.Writer) *Stream { return NewStream(dst, s.Compile) }

// Detector builds the alarm for the same values. See Detector.
func (s *Set) Detector() *Detector {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &Detector{}
	for i, v := range s.vals {
		d.learn(s.names[i], v.Reveal())
	}
	return d
}

// Wipe erases the values and every compiled Matcher. The Set is empty afterwards, and its Streams withhold.
func (s *Set) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.vals {
		v.Wipe()
	}
	s.renew()
	for _, m := range s.older {
		m.Wipe()
	}
	s.names, s.vals, s.older, s.wiped = nil, nil, nil, true
}
