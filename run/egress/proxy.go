package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// Limits of one run.
const (
	defaultConns   = 512
	maxRequests    = 2048     // of the command, at once
	maxHeader      = 64 << 10 // bytes of a request's header
	headerTimeout  = 30 * time.Second
	keepAlive      = 10 * time.Minute // an idle connection of the command
	maxStreams     = 128              // of an HTTP/2 connection, at once
	helloTimeout   = 15 * time.Second
	maxConnectSize = 16 << 10 // bytes of a CONNECT with its header
)

// Proxy is the way out of one run. Close it.
type Proxy struct {
	o         Options
	resources []*resource
	marks     []mark // of their stand-ins
	through   *route
	authority *authority
	guard     *guard
	tls       *tls.Config
	server    *http.Server
	inner     chan net.Conn // connections that server takes
	log       *slog.Logger

	ctx    context.Context // ends with the proxy
	cancel context.CancelFunc
	flow   context.Context // ends when nothing goes out any more
	stem   context.CancelFunc
	halted atomic.Pointer[refusal] // why nothing goes out any more
	record sync.Mutex
	asked  atomic.Int64 // requests at work

	mu      sync.Mutex
	closed  bool
	open    map[io.Closer]struct{} // listeners and connections
	conns   int
	working sync.WaitGroup // accept loops, connections, requests
}

// New makes the proxy and the run's authority.
func New(o Options) (*Proxy, error) {
	if o.Record == nil {
		return nil, errNoRecord
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lookup == nil {
		o.Lookup = systemLookup
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{o: o, log: o.Log, inner: make(chan net.Conn), open: map[io.Closer]struct{}{}, guard: newGuard(o.Matcher), through: &route{lookup: o.Lookup}}
	var rules []policy.HostRule
	for _, r := range o.Resources {
		ready, err := p.ready(r)
		if err != nil {
			return nil, err
		}
		p.resources = append(p.resources, ready)
		rules = append(rules, r.Rules...)
	}
	p.marks = p.marked()
	var err error
	if p.authority, err = newAuthority(rules, o.Now(), o.Life); err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.flow, p.stem = context.WithCancel(p.ctx)
	p.tls = p.tlsConfig()
	p.server = p.newServer()
	p.working.Go(func() { _ = p.server.Serve(innerListener{p}) })
	return p, nil
}

// ready checks a resource and reads its places for values.
func (p *Proxy) ready(r Resource) (*resource, error) {
	r.Resolve = cloneResolve(r.Resolve)
	out := &resource{Resource: r, route: &route{private: r.Private, resolve: r.Resolve, lookup: p.o.Lookup}}
	if r.Holds {
		out.Swaps = nil
	}
	for _, s := range out.Swaps {
		t, err := newSlot(r.Handle, s)
		if err != nil {
			return nil, err
		}
		for _, other := range p.resources {
			if slices.ContainsFunc(other.placeholders, func(ph string) bool {
				return strings.Contains(ph, t.placeholder) || strings.Contains(t.placeholder, ph)
			}) {
				return nil, errTwice
			}
		}
		out.slots = append(out.slots, t)
		if !slices.Contains(out.placeholders, t.placeholder) {
			out.placeholders = append(out.placeholders, t.placeholder)
		}
	}
	out.h1, out.h2 = newTransport(out, false), newTransport(out, true)
	return out, nil
}

func cloneResolve(m map[string]netip.Addr) map[string]netip.Addr {
	out := make(map[string]netip.Addr, len(m))
	for host, a := range m {
		if h, err := policy.CanonicalHost(host); err == nil {
			out[h] = a
		}
	}
	return out
}

// CA is the run's certificate authority, in PEM.
func (p *Proxy) CA() []byte { return slices.Clone(p.authority.pem) }

// Names are the exact names of allowed hosts, for the run's hosts file: each leads to the transparent listeners. What a wild rule allows is reached by CONNECT only.
func (p *Proxy) Names() []string {
	var names []string
	p.eachRule(func(r policy.HostRule) {
		if _, err := netip.ParseAddr(r.Host); err != nil && !strings.HasPrefix(r.Host, "*") {
			names = append(names, r.Host)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// Ports are those that transparent listeners are wanted for.
func (p *Proxy) Ports() []int {
	var ports []int
	p.eachRule(func(r policy.HostRule) { ports = append(ports, r.EffectivePort()) })
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (p *Proxy) eachRule(visit func(policy.HostRule)) {
	for _, r := range p.resources {
		for _, rule := range r.Rules {
			visit(rule)
		}
	}
	for _, rule := range p.o.PassThrough {
		visit(rule)
	}
}

// intercepts tells whether some resource is about the target: then it is never passed through unread.
func (p *Proxy) intercepts(t target) bool {
	return slices.ContainsFunc(p.resources, func(r *resource) bool { return policy.Reaches(r.Rules, t.host, t.port) })
}

// newServer serves what is inside of intercepted connections.
func (p *Proxy) newServer() *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(p.serve), ErrorLog: log.New(io.Discard, "", 0), // it would print what panics and peers say
		ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: 4 << 20, MaxReceiveBufferPerStream: 1 << 20},
		BaseContext: func(net.Listener) context.Context { return p.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				return context.WithValue(ctx, connKey{}, t.NetConn())
			}
			return ctx
		},
	}
}

// connKey finds the connection that a request came on.
type connKey struct{}

// innerListener hands intercepted connections to the server.
type innerListener struct{ p *Proxy }

func (l innerListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.p.inner:
		return c, nil
	case <-l.p.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (innerListener) Close() error   { return nil }
func (innerListener) Addr() net.Addr { return &net.TCPAddr{} }

// halt stops everything that goes out, for good: requests under way are cut, later ones get the refusal.
func (p *Proxy) halt(why *refusal) {
	if !p.halted.CompareAndSwap(nil, why) {
		return
	}
	p.stem()
	p.log.Warn("a run's way out is closed", "run", p.o.RunID, "code", string(why.err.Code))
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if t, ok := c.(*tunnelConn); ok {
			_ = t.Close()
		}
	}
}

// enter counts a piece of work in; false where the proxy is closed. Call leave after true.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.working.Add(1)
	return true
}

func (p *Proxy) leave() { p.working.Done() }

// track keeps c, to be closed with the proxy; false where that is closed.
func (p *Proxy) track(c io.Closer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open[c] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) untrack(c io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// Close ends every connection and waits until the last event is recorded.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.working.Wait()
		return nil
	}
	p.closed = true
	open := make([]io.Closer, 0, len(p.open))
	for c := range p.open {
		open = append(open, c)
	}
	p.mu.Unlock()
	p.halted.CompareAndSwap(nil, refusedClosed)
	p.cancel()
	for _, c := range open {
		_ = c.Close()
	}
	err := p.server.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	p.working.Wait()
	for _, r := range p.resources {
		r.h1.CloseIdleConnections()
		r.h2.CloseIdleConnections()
	}
	p.guard.wipe()
	return err
}
