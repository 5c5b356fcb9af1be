package run

import (
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// view is the mask as it stands before a person's eyes: of the same values, with no budget of its own. Give it back before the mask is done.
func (m *mask) view() *mask { return &mask{engine: m.engine, own: m.own, budget: math.MaxInt64} }

// outdated tells whether the vault's secrets have changed since the view was made: a session may last for days.
func (m *mask) outdated() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shared != nil && m.shared.stale.Load()
}

// Times and bounds of what a person sees.
const (
	// easeAfter is how long a stream is quiet before the beginning of what may become a secret is shown all the same: who types a letter wants to see it, and
	// a program that asks and waits must be heard.
	easeAfter = 20 * time.Millisecond
	// easeBytes is how many bytes of such a beginning are shown: fewer than the half of the shortest value that is kept out of output, however slowly it
	// drips (threat-model.md 50). With many secrets every letter begins some form of one; three letters in a row seldom do, five hardly ever.
	easeBytes = 4
)

// viewed is one stream on its way to a person: through the view, counted, and never so held back that a dialogue stalls.
type viewed struct {
	l      *live
	of     stream
	dst    io.Writer
	widths bool // keep the width of what is masked

	mu      sync.Mutex
	view    *mask
	streams []*redact.Stream // the outermost first; made with the first byte
	seen    int              // matches of these streams that were counted
	timer   *time.Timer
	shut    bool
	err     error
}

// show gives what stands between a stream and a person. On a terminal a masked value keeps its width: programs that draw count on it.
func (l *live) show(of stream, dst io.Writer, widths bool) *viewed {
	return &viewed{l: l, of: of, view: l.mask.view(), dst: dst, widths: widths}
}

// Write shows p as far as that is decided.
func (w *viewed) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.shut {
		return 0, errors.Join(w.err, errGagged)
	}
	defer w.guard(&err)
	w.open()
	n, err = w.streams[0].Write(p)
	w.tally(&err)
	w.l.text.pass(w.of, n)
	if w.held() {
		w.later()
	}
	return n, err
}

// open makes the streams: the vault's values outside, the run's own within. Where the vault has changed it makes them anew, as soon as nothing is undecided.
func (w *viewed) open() {
	if w.streams != nil && (!w.idle() || !w.view.outdated()) {
		return
	}
	if w.streams != nil {
		w.view.give()
		w.view, w.streams, w.seen = w.l.mask.view(), nil, 0
	}
	through := func(m *redact.Matcher, dst io.Writer) *redact.Stream {
		if w.widths {
			return m.SameLength(filler).Stream(dst)
		}
		return m.Stream(dst)
	}
	all := w.view.matchers(w.l.ctx)
	var dst io.Writer = w.dst
	for i := len(all) - 1; i >= 0; i-- {
		s := through(all[i], dst)
		w.streams = append([]*redact.Stream{s}, w.streams...)
		dst = s
	}
}

func (w *viewed) idle() bool {
	for _, s := range w.streams {
		if !s.Idle() {
			return false
		}
	}
	return true
}

func (w *viewed) held() bool {
	for _, s := range w.streams {
		if s.Held() > 0 {
			return true
		}
	}
	return false
}

// later lets the beginning of what is held back out when nothing more comes.
func (w *viewed) later() {
	if w.timer == nil {
		w.timer = time.AfterFunc(easeAfter, w.ease)
		return
	}
	w.timer.Reset(easeAfter)
}

func (w *viewed) ease() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut || w.err != nil {
		return
	}
	var err error
	defer func() { w.err = errors.Join(w.err, err) }()
	defer w.guard(&err)
	for _, s := range w.streams {
		if err = s.Ease(easeBytes); err != nil {
			return
		}
	}
	w.tally(&err)
}

// Close shows the rest.
func (w *viewed) Close() (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return nil
	}
	w.shut = true
	if w.timer != nil {
		w.timer.Stop()
	}
	defer w.guard(&err)
	for _, s := range w.streams {
		err = errors.Join(err, s.Close())
	}
	w.tally(&err)
	w.view.give()
	return err
}

// tally counts for the run's record. It spends no budget.
func (w *viewed) tally(err *error) {
	now := 0
	for _, s := range w.streams {
		now += s.Redactions()
	}
	w.l.mask.count.Add(int64(now - w.seen))
	w.seen = now
	if w.view.gagged.Load() { // the matcher of all secrets could not be built
		*err = errors.Join(*err, errGagged)
	}
}

// guard turns a panic of the redactor into a withheld output: it must neither pass the bytes nor end the daemon.
func (w *viewed) guard(err *error) {
	if recover() != nil {
		w.view.gagged.Store(true)
		*err = errGagged
	}
	if *err != nil {
		w.err = errors.Join(w.err, *err)
	}
}

// unseen says why nothing more is shown.
func (w *viewed) unseen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.view.gagged.Load() {
		return fault.New(fault.OutputWithheld, "the output cannot be searched for secrets, so it is not shown and the run was ended", "look at the daemon's log: zavhoz doctor names it")
	}
	return errGone
}

// pass counts output that is shown and not kept.
func (t *transcript) pass(of stream, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total[of] += int64(n)
	t.lost += int64(n)
}
