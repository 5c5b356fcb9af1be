package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// errGagged ends a stream whose output is withheld.
var errGagged = errors.New("run: output withheld")

// mask is the redactor of one run: first by every secret of the vault, then by what this run itself works with (its fields, hidden addresses).
type mask struct {
	engine *masks // nil: only own
	own    *redact.Set
	budget int64
	count  atomic.Int64
	gagged atomic.Bool // withhold everything: over budget, or the matcher could not be built

	mu      sync.Mutex
	shared  *shared   // the matcher in use; nil before the first byte
	older   []*shared // those before it: what was begun with them may still use them
	failure error
	over    bool // given back: nothing passes any more

	handles []string        // of the run's resources: markers name no others; nil: all are named
	exempt  func() []string // what only looks like somebody's secret: the run's placeholders; asked when the first byte comes
	foreign atomic.Int64    // what looked like somebody else's secret, and was masked
}

// add takes a value of this run under a public label; what is written from then on is searched for it. Short values are masked raw.
func (m *mask) add(label string, s secret.Secret) {
	if s.Len() >= shortest {
		_ = m.own.Add(label, s)
	}
}

// names tells whether markers may give a value's name (handle.field): that of one of the run's own resources, for a model may not know of others.
func (m *mask) names(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handles == nil || slices.ContainsFunc(m.handles, func(h string) bool { return strings.HasPrefix(name, h+".") })
}

// knows lets markers name one resource more, which the run has captured.
func (m *mask) knows(handle string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handles != nil {
		m.handles = append(slices.Clip(m.handles), handle)
	}
}

// shortest is the length in bytes under which a value of the run itself is not masked: it would mask half of every text.
const shortest = 4

// to gives the redacting writer in front of dst, for one stream. Close it.
func (m *mask) to(ctx context.Context, dst io.Writer) *masked {
	w := &masked{mask: m, last: &strangers{mask: m, dst: dst}}
	w.inner = m.own.Stream(w.last)
	w.outer = redact.NewStream(w.inner, func() *redact.Matcher { return m.matcher(ctx) })
	w.outer.Known(m.names)
	return w
}

// filler stands for masked bytes where lengths must stay right.
const filler = '*'

// spend counts matches that somebody else found for this run, and gags it when they are too many.
func (m *mask) spend(n int) error {
	if m.count.Add(int64(n)) > m.budget {
		m.gagged.Store(true)
	}
	if m.gagged.Load() {
		return errGagged
	}
	return nil
}

// told masks a short text of a command's that is told beside its output, as a name of a file or of a host, and makes it harmless to read. It is counted as output
// is: a guess that is seen to be masked is a hit here too (threat-model.md 60). Of a gagged run nothing is told.
func (m *mask) told(ctx context.Context, text string) string {
	var out, last bytes.Buffer
	hits := 0
	out.WriteString(text)
	for _, each := range m.matchers(ctx) {
		masked, report := each.MaskKnown(out.Bytes(), m.names)
		out.Reset()
		out.Write(masked)
		hits += report.Redactions
	}
	f := &strangers{mask: m, dst: &last}
	if _, err := f.Write(out.Bytes()); err != nil || f.Close() != nil || m.spend(hits) != nil {
		return ""
	}
	return string(redact.Clean(last.Bytes()))
}

// covered masks a text that is recorded and told to nobody who could guess by it, so that it is not counted.
func (m *mask) covered(ctx context.Context, text string) string {
	out := []byte(text)
	for _, each := range m.matchers(ctx) {
		out, _ = each.MaskKnown(out, m.names)
	}
	return string(out)
}

// sameLength gives a redacting writer in front of dst that puts as many bytes as it takes, for protocols that count them. Close it.
func (m *mask) sameLength(ctx context.Context, dst io.Writer) io.WriteCloser {
	inner := redact.NewSameLengthStream(dst, filler, m.own.Compile)
	outer := redact.NewSameLengthStream(inner, filler, func() *redact.Matcher { return m.matcher(ctx) })
	return &counted{mask: m, streams: []*redact.Stream{outer, inner}}
}

// counted is a row of streams, the outermost first, whose matches the mask is told of.
type counted struct {
	mask    *mask
	streams []*redact.Stream
	seen    int
}

func (c *counted) Write(p []byte) (n int, err error) {
	defer c.guard(&err)
	if n, err = c.streams[0].Write(p); err != nil {
		return n, err
	}
	return n, c.tally()
}

// Close lets out what each stream held back, in order.
func (c *counted) Close() (err error) {
	defer c.guard(&err)
	for _, s := range c.streams {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, c.tally())
}

func (c *counted) tally() error {
	now := 0
	for _, s := range c.streams {
		now += s.Redactions()
	}
	n := now - c.seen
	c.seen = now
	return c.mask.spend(n)
}

// guard turns a panic of the redactor into an error: it must neither pass the bytes nor end the daemon.
func (c *counted) guard(err *error) {
	if recover() != nil {
		c.mask.gagged.Store(true)
		*err = errGagged
	}
}

// done gives the matchers back and erases the run's own values.
func (m *mask) done() {
	m.give()
	m.own.Wipe()
}

// masked is one stream through a mask.
type masked struct {
	mask         *mask
	outer, inner *redact.Stream
	last         *strangers
	hold         *held // what waits here until something was captured; nil: nothing waits
	seen         int
}

// strangers masks what looks like a secret that the vault does not know. It begins when the first byte comes: by then the run's placeholders are drawn.
type strangers struct {
	mask *mask
	dst  io.Writer
	s    *redact.ForeignStream
	seen int
}

func (f *strangers) Write(p []byte) (int, error) {
	if f.s == nil {
		var o redact.ForeignOptions
		if f.mask.exempt != nil {
			o.Exempt = f.mask.exempt()
		}
		f.s = redact.Foreign(f.dst, o)
	}
	n, err := f.s.Write(p)
	f.tally()
	return n, err
}

// Close lets out what was held back.
func (f *strangers) Close() error {
	if f.s == nil {
		return nil
	}
	err := f.s.Close()
	f.tally()
	return err
}

func (f *strangers) tally() {
	now := f.s.Report().Redactions
	f.mask.foreign.Add(int64(now - f.seen))
	f.seen = now
}

func (w *masked) Write(p []byte) (n int, err error) {
	if w.mask.gagged.Load() {
		return 0, errGagged
	}
	if w.hold != nil {
		return w.hold.Write(p)
	}
	defer w.guard(&err)
	n, err = w.outer.Write(p)
	w.tally()
	return n, err
}

// guard turns a panic of the redactor into a withheld output: it must neither pass the bytes nor end the daemon.
func (w *masked) guard(err *error) {
	if recover() != nil {
		w.mask.gagged.Store(true)
		*err = errGagged
	}
}

// Close lets out what was held back. A gagged run's is erased: dst refuses it.
func (w *masked) Close() (err error) {
	defer w.guard(&err)
	err = errors.Join(w.outer.Close(), w.inner.Close(), w.last.Close())
	w.tally()
	return err
}

// tally counts what is new, and gags the run when it is too much.
func (w *masked) tally() {
	now := w.outer.Redactions() + w.inner.Redactions()
	if w.mask.count.Add(int64(now-w.seen)) > w.mask.budget {
		w.mask.gagged.Store(true)
	}
	w.seen = now
}
