package run

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// keep captures from a reply. What was captured is known to the run's redactor before it is stored, and to that of every later run before anybody is told.
func (e *Engine) keep(ctx context.Context, l *live, p *capture.Plan, reply []byte) (*capture.Kept, error) {
	for _, m := range l.mask.matchers(l.ctx) { // what the vault knows is nothing to capture, and nothing to ask about
		if _, err := m.SameLength(filler).Mask(reply); err != nil {
			return nil, err
		}
	}
	kept, r, err := p.Keep(context.WithoutCancel(ctx), e.o.Keeper, reply, l.record.ID, func(label string, v secret.Secret) { addWithParts(l.mask.add, label, v) })
	if err != nil {
		if fault.CodeOf(err) == fault.OutputWithheld {
			e.misses.note(l.record.Actor.ID, e.o.Clock())
			_ = l.mask.spend(missCost)
		}
		return nil, err
	}
	l.mask.knows(kept.Handle)
	e.Changed(r.ID)
	l.mu.Lock()
	l.captured = &kept
	l.mu.Unlock()
	return &kept, nil
}

// Bounds of captures that fail: a failure is an answer about a reply that is not shown, if only a small one (threat-model.md 60).
const (
	missCost  = 10 // redactions that one counts as
	maxMisses = 8  // of an agent, within missWindow
)

const missWindow = time.Hour

// misses counts the failed captures of each agent.
type misses struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (m *misses) note(agent string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at == nil {
		m.at = map[string][]time.Time{}
	}
	m.at[agent] = append(m.recent(agent, now), now)
}

// allow refuses an agent that has failed too often lately.
func (m *misses) allow(agent string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.recent(agent, now)) < maxMisses {
		return nil
	}
	return fault.New(fault.RateLimited, "too many of your captures found nothing", "wait an hour, or ask the operator to add the resource: zavhoz resource add")
}

// recent runs under mu.
func (m *misses) recent(agent string, now time.Time) []time.Time {
	return slices.DeleteFunc(m.at[agent], func(t time.Time) bool { return now.Sub(t) >= missWindow })
}

// prepareCapture checks what a run is to capture from its standard output.
func (e *Engine) prepareCapture(ctx context.Context, r *Request, uses []vault.Use) (err error) {
	if r.Capture == nil {
		return nil
	}
	if err := e.misses.allow(r.Actor.ID, e.o.Clock()); err != nil {
		return err
	}
	var src capture.Source
	for _, u := range uses {
		src.Resources = append(src.Resources, u.Resource)
	}
	r.capture, err = r.Capture.Prepare(ctx, e.o.Keeper, r.Actor, src)
	return err
}

// held is an output that waits for the end of its command.
type held struct {
	b    []byte
	over bool // longer than may be searched
}

func (h *held) Write(p []byte) (int, error) {
	n := min(len(p), capture.MaxReply-len(h.b))
	if n < len(p) {
		h.over = true
	}
	if len(h.b)+n > cap(h.b) {
		grown := append(make([]byte, 0, max(2*cap(h.b), len(h.b)+n, 4<<10)), h.b...)
		clear(h.b)
		h.b = grown
	}
	h.b = append(h.b, p[:n]...)
	return len(p), nil
}

func (h *held) wipe() {
	clear(h.b[:cap(h.b)])
	h.b = nil
}

// captureOutput captures from the standard output of a command that ended well, and lets its other output go. The standard output is never shown; the other is
// not either where nothing was captured, for the secret may stand there.
func (e *Engine) captureOutput(ctx context.Context, l *live, r Request, x exit, ran error, out, errs *masked) error {
	defer out.hold.wipe()
	if x.code == 0 && ran == nil {
		if out.hold.over {
			errs.hold.wipe()
			return fault.New(fault.OutputWithheld, "nothing was captured: the output is too long to be searched. It is not shown, for it holds the secret", "have the command print less")
		}
		if _, err := e.keep(ctx, l, r.capture, out.hold.b); err != nil {
			errs.hold.wipe()
			return err
		}
	} else {
		errs.hold.wipe()
		return ran
	}
	text := errs.hold.b
	errs.hold = nil // what comes now goes through
	_, _ = errs.Write(text)
	clear(text)
	return ran
}
