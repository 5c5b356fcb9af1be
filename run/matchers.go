package run

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// masks holds the matcher of every secret in the vault: built when a first byte needs it, shared by runs, built anew when the vault has changed, wiped when
// no run has used it for a while. A new one also knows what those still in use know: a secret that was replaced while a run goes on is masked to the run's end.
type masks struct {
	secrets func(ctx context.Context, add func(label string, s secret.Secret)) error
	idle    time.Duration

	mu      sync.Mutex
	current *shared
	behind  []*shared // stale, and in use
}

// shared is one built matcher. It is wiped when it is out of date or idle, and no stream uses it.
type shared struct {
	set   *redact.Set
	m     *redact.Matcher
	users int         // under masks.mu
	stale atomic.Bool // set under masks.mu
	timer *time.Timer
}

// acquire gives the matcher as of now. Release it.
func (k *masks) acquire(ctx context.Context) (*shared, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		set := redact.NewSet(redact.Options{})
		err := k.secrets(ctx, func(label string, s secret.Secret) {
			addWithParts(func(label string, v secret.Secret) {
				_ = set.Add(label, v) // ErrShort: the vault warned when it was put in
			}, label, s)
			s.Wipe()
		})
		if err != nil {
			set.Wipe()
			return nil, err
		}
		for _, old := range k.behind {
			set.Inherit(old.set)
		}
		k.current = &shared{set: set, m: set.Compile()}
	}
	k.current.users++
	if k.current.timer != nil {
		k.current.timer.Stop()
	}
	return k.current, nil
}

func (k *masks) release(s *shared) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.users--
	switch {
	case s.users > 0:
	case s.stale.Load():
		k.behind = slices.DeleteFunc(k.behind, func(o *shared) bool { return o == s })
		s.set.Wipe()
	default:
		s.timer = time.AfterFunc(k.idle, func() { k.retire(s) })
	}
}

// changed makes whoever asks next build anew.
func (k *masks) changed() {
	k.mu.Lock()
	s := k.current
	k.mu.Unlock()
	if s != nil {
		k.retire(s)
	}
}

func (k *masks) retire(s *shared) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == s {
		k.current = nil
	}
	if s.stale.Swap(true) {
		return
	}
	if s.users == 0 {
		s.set.Wipe()
	} else {
		k.behind = append(k.behind, s)
	}
}

// maxOlder is how many matchers a run keeps behind the one in use. Each change of the vault makes one; of a run of days the oldest go, unwiped: the last of what
// uses them may still be inside.
const maxOlder = 16

// matcher gives the matcher of the vault as it is now: it is made when the first byte comes, and anew when the vault has changed. Where that fails it gives one that
// lets nothing through.
func (m *mask) matcher(ctx context.Context) *redact.Matcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.over:
		return wiped()
	case m.engine == nil && m.shared == nil:
		m.shared = &shared{m: redact.NewSet(redact.Options{}).Compile()}
	case m.failure == nil && (m.shared == nil || m.shared.stale.Load()):
		m.renew(ctx)
	}
	if m.failure != nil {
		m.gagged.Store(true)
		return wiped()
	}
	return m.shared.m
}

// renew runs under mu.
func (m *mask) renew(ctx context.Context) {
	s, err := m.engine.acquire(ctx)
	if err != nil {
		m.failure = err
		return
	}
	if m.shared != nil {
		m.older = append(m.older, m.shared)
	}
	m.shared = s
	if len(m.older) > maxOlder {
		m.engine.forget(m.older[0])
		m.older = slices.Delete(m.older, 0, 1)
	}
}

// forget leaves a stale matcher to the collector.
func (k *masks) forget(s *shared) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.users--; s.users == 0 {
		k.behind = slices.DeleteFunc(k.behind, func(o *shared) bool { return o == s })
	}
}

// wiped is a matcher that lets nothing through.
func wiped() *redact.Matcher {
	m := redact.NewSet(redact.Options{}).Compile()
	m.Wipe()
	return m
}

// matchers gives what a reply is searched for: every secret of the vault, then the run's own.
func (m *mask) matchers(ctx context.Context) []*redact.Matcher {
	return []*redact.Matcher{m.matcher(ctx), m.own.Compile()}
}

// give gives the matchers back.
func (m *mask) give() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	if m.engine == nil {
		return
	}
	for _, s := range append(m.older, m.shared) {
		if s != nil {
			m.engine.release(s)
		}
	}
	m.older = nil
}
