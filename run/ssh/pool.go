package ssh

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Options of a Pool. Zero fields take the default.
type Options struct {
	DialTimeout time.Duration // of connecting and logging in; default 20 s
	OpenTimeout time.Duration // of opening a session on a pooled connection before it counts as dead; default 5 s
	KeepAlive   time.Duration // between signs of life; default 30 s
	Idle        time.Duration // after which an unused connection is closed; default 5 min
	Grace       time.Duration // between TERM, closing the session and leaving it; default 2 s
}

// maxSessions is how many commands share a connection; OpenSSH's own limit is 10.
const maxSessions = 8

func (o *Options) setDefaults() {
	for d, def := range map[*time.Duration]time.Duration{
		&o.DialTimeout: 20 * time.Second, &o.OpenTimeout: 5 * time.Second, &o.KeepAlive: 30 * time.Second, &o.Idle: 5 * time.Minute, &o.Grace: 2 * time.Second,
	} {
		if *d <= 0 {
			*d = def
		}
	}
}

// Pool keeps authenticated connections for a while. It is safe for concurrent use.
type Pool struct {
	o     Options
	mu    sync.Mutex
	links map[string][]*link // by resource id: those that take sessions
	all   map[*link]struct{} // those that live, retired ones too
	shut  bool
	wait  sync.WaitGroup
}

// link is one connection.
type link struct {
	client   *xssh.Client
	version  uint64
	hidden   []secret.Secret
	dead     chan struct{} // closed when the connection has ended
	sessions int           // under Pool.mu
	used     time.Time     // under Pool.mu: when the last session ended
	retired  bool          // under Pool.mu: takes no more sessions, closes with its last
}

// NewPool makes an empty pool. Close it.
func NewPool(o Options) *Pool {
	o.setDefaults()
	return &Pool{o: o, links: map[string][]*link{}, all: map[*link]struct{}{}}
}

// Connect opens a session, on a pooled connection where one lives. The server has answered when it returns; nothing has been run yet.
func (p *Pool) Connect(ctx context.Context, t Target) (*Session, error) {
	if l := p.pooled(t); l != nil {
		s, err := p.open(ctx, t, l)
		if err == nil {
			return s, nil
		}
		p.release(l) // full or dead: one fresh connection is the answer to both
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	l, err := p.fresh(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := p.open(ctx, t, l)
	if err == nil {
		return s, nil
	}
	if ctx.Err() != nil {
		p.release(l)
		return nil, ctx.Err()
	}
	p.discard(t.ID, l)
	p.release(l)
	return nil, failed(t, Sessions, err)
}

// pooled takes a place on a living connection, and retires those of earlier versions of the resource.
func (p *Pool) pooled(t Target) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found *link
	for _, l := range slices.Clone(p.links[t.ID]) {
		if l.version != t.Version {
			p.retire(t.ID, l)
			continue
		}
		select {
		case <-l.dead:
			continue
		default:
		}
		if found == nil && l.sessions < maxSessions {
			found = l
		}
	}
	if found != nil {
		found.sessions++
	}
	return found
}

// fresh dials, and takes the first place.
func (p *Pool) fresh(ctx context.Context, t Target) (*link, error) {
	d, err := dial(ctx, t, p.o.DialTimeout)
	if err != nil {
		return nil, err
	}
	l := &link{client: d.client, version: t.Version, hidden: d.hidden, dead: make(chan struct{}), sessions: 1}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		_ = d.client.Close()
		return nil, ErrClosed
	}
	p.links[t.ID], p.all[l] = append(p.links[t.ID], l), struct{}{}
	p.wait.Go(func() {
		_ = l.client.Wait()
		close(l.dead)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.retire(t.ID, l)
		delete(p.all, l)
	})
	p.wait.Go(func() { p.tend(t.ID, l) })
	return l, nil
}

// open opens the session's channel, bounded: a connection whose other end has vanished would take minutes to say so. It never closes the connection: others
// have their commands on it, and whether it is dead is for tend to find.
func (p *Pool) open(ctx context.Context, t Target, l *link) (*Session, error) {
	type opened struct {
		ch   xssh.Channel
		reqs <-chan *xssh.Request
		err  error
	}
	result := make(chan opened, 1)
	go func() { // nobody waits for it: where the connection ends at the wrong moment, the library never comes back
		ch, reqs, err := l.client.OpenChannel("session", nil)
		result <- opened{ch, reqs, err}
	}()
	timer := time.NewTimer(p.o.OpenTimeout)
	defer timer.Stop()
	select {
	case r := <-result:
		if r.err != nil {
			return nil, r.err
		}
		return newSession(p, l, t, r.ch, r.reqs), nil
	case <-l.dead:
	case <-ctx.Done():
	case <-timer.C:
		p.discard(t.ID, l)
	}
	go func() { // a session that comes late is not wanted any more
		if r := <-result; r.err == nil {
			go xssh.DiscardRequests(r.reqs)
			_ = r.ch.Close()
		}
	}()
	return nil, errNoSession
}

// ForgetAll is Forget for every target.
func (p *Pool) ForgetAll() {
	p.mu.Lock()
	ids := slices.Collect(maps.Keys(p.links))
	p.mu.Unlock()
	for _, id := range ids {
		p.Forget(id)
	}
}

// release gives a place back.
func (p *Pool) release(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.sessions--
	l.used = time.Now()
	if l.retired && l.sessions == 0 {
		_ = l.client.Close()
	}
}

// discard retires l.
func (p *Pool) discard(id string, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retire(id, l)
}

// retire runs under mu: no new session uses l; it is closed with the last.
func (p *Pool) retire(id string, l *link) {
	l.retired = true
	p.links[id] = slices.DeleteFunc(p.links[id], func(x *link) bool { return x == l })
	if len(p.links[id]) == 0 {
		delete(p.links, id)
	}
	if l.sessions == 0 {
		_ = l.client.Close()
	}
}

// tend sends signs of life, and closes the connection when nobody used it for a while or it does not answer.
func (p *Pool) tend(id string, l *link) {
	tick := time.NewTicker(min(p.o.KeepAlive, p.o.Idle))
	defer tick.Stop()
	for {
		select {
		case <-l.dead:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		if l.sessions == 0 && time.Since(l.used) >= p.o.Idle {
			p.retire(id, l)
		}
		retired := l.retired && l.sessions == 0
		p.mu.Unlock()
		if retired || !alive(l.client, p.o.KeepAlive) {
			_ = l.client.Close()
			return
		}
	}
}

// alive asks for a sign of life. Any answer is one.
func alive(c *xssh.Client, within time.Duration) bool {
	timer := time.AfterFunc(within, func() { _ = c.Close() })
	defer timer.Stop()
	_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
	return err == nil
}

// Forget retires the connections of a resource that was removed, disabled or edited.
func (p *Pool) Forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range slices.Clone(p.links[id]) {
		p.retire(id, l)
	}
}

// Close closes every connection, running commands included, and waits for what the pool started.
func (p *Pool) Close() {
	p.mu.Lock()
	p.shut = true
	for l := range p.all {
		_ = l.client.Close()
	}
	p.mu.Unlock()
	p.wait.Wait()
}
