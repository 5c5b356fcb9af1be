package mcp

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// crowd counts the connections of the HTTP door. One that no agent's token has come over is a stranger's; strangers have few places, and who comes when
// all are taken gets that of the stranger who came first. So a flood of connections, however many and from wherever, drives out itself, costs a fixed number of
// descriptors, and leaves a client the moment that it needs to show its token (threat-model.md 67). An agent's connections are its own, up to a number.
type crowd struct {
	limits  Limits
	trusted func(netip.Addr) bool // proxies: their addresses say nothing of who comes
	mu      sync.Mutex
	open    int
	queue   *list.List         // of strangers' *guest, the first come in front
	from    map[netip.Addr]int // strangers by address
	agents  map[string]int     // by agent id
}

func newCrowd(l Limits, trusted func(netip.Addr) bool) *crowd {
	return &crowd{limits: l, trusted: trusted, queue: list.New(), from: map[netip.Addr]int{}, agents: map[string]int{}}
}

// guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	addr  netip.Addr  // zero: not counted by address
	heard atomic.Bool // a byte came from it

	// guarded by crowd.mu
	place *list.Element // while it is a stranger's
	agent string        // whose it is
	gone  bool
}

// Bound makes l hand out no more connections than Limits says. Its server's ConnContext must be s.ConnContext.
func (s *Server) Bound(l net.Listener) net.Listener { return boundListener{l, s.crowd} }

type boundListener struct {
	net.Listener
	crowd *crowd
}

// Accept waits for the next connection that has a place. Those that have none are told so and closed.
func (b boundListener) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: c, crowd: b.crowd}
		out, ok := b.crowd.admit(g)
		if out != nil {
			out.turnAway()
		}
		if ok {
			return g, nil
		}
		g.turnAway()
	}
}

// admit gives g a place; out has to leave for it.
func (c *crowd) admit(g *guest) (out *guest, ok bool) {
	if at, err := netip.ParseAddrPort(g.RemoteAddr().String()); err == nil && !at.Addr().Unmap().IsLoopback() && !c.trusted(at.Addr().Unmap()) {
		g.addr = at.Addr().Unmap()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case g.addr.IsValid() && c.from[g.addr] >= c.limits.StrangersPerAddr:
		out = c.first(func(x *guest) bool { return x.addr == g.addr })
	case c.queue.Len() >= c.limits.Strangers || c.open >= c.limits.MaxConns:
		out = c.first(func(*guest) bool { return true })
	}
	if out != nil {
		c.remove(out)
	}
	if c.open >= c.limits.MaxConns {
		g.gone = true
		return out, false
	}
	c.open++
	g.place = c.queue.PushBack(g)
	if g.addr.IsValid() {
		c.from[g.addr]++
	}
	return out, true
}

func (c *crowd) first(is func(*guest) bool) *guest {
	for e := c.queue.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); is(g) {
			return g
		}
	}
	return nil
}

// remove takes a connection out of every count. The caller holds c.mu.
func (c *crowd) remove(g *guest) {
	if g.gone {
		return
	}
	g.gone = true
	c.open--
	c.unqueue(g)
	if g.agent != "" {
		if c.agents[g.agent]--; c.agents[g.agent] == 0 {
			delete(c.agents, g.agent)
		}
	}
}

func (c *crowd) unqueue(g *guest) {
	if g.place == nil {
		return
	}
	c.queue.Remove(g.place)
	g.place = nil
	if g.addr.IsValid() {
		if c.from[g.addr]--; c.from[g.addr] == 0 {
			delete(c.from, g.addr)
		}
	}
}

// known makes a connection the agent's whose token came over it.
func (c *crowd) known(g *guest, agent string) *fault.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case g.gone || g.agent == agent:
		return nil
	case c.agents[agent] >= c.limits.ConnsPerAgent:
		return fault.New(fault.RateLimited, "this agent has too many connections open", "close some, or keep to those that are open").With("retry_after_s", retryAfter)
	}
	c.unqueue(g)
	if g.agent != "" { // a proxy's connection carries many
		if c.agents[g.agent]--; c.agents[g.agent] == 0 {
			delete(c.agents, g.agent)
		}
	}
	g.agent = agent
	c.agents[agent]++
	return nil
}

// Read notes that the other end has said something.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if n > 0 {
		g.heard.Store(true)
	}
	return n, err
}

// Close closes the connection and frees its place.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.remove(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// retryAfter is how long who is turned away should wait, in seconds.
const retryAfter = 5

// full is said to who has said nothing yet: the middle of a reply is no place for it. To a client that speaks TLS it is noise before the same end.
const full = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 91\r\n\r\n" +
	`{"code":"busy","message":"too many connections are open","next":"wait a little, try again"}`

// turnAway ends a connection that has no place, without waiting for its other end.
func (g *guest) turnAway() {
	if !g.heard.Load() {
		_ = g.Conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // nothing is in its buffer: it does not block
		_, _ = g.Conn.Write([]byte(full))
	}
	_ = g.Conn.Close()
}

type guestKey struct{}

// ConnContext lets the door know which connection a request came over (http.Server.ConnContext).
func (s *Server) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if g, ok := c.(*guest); ok {
		return context.WithValue(ctx, guestKey{}, g)
	}
	return ctx
}

// seat makes the request's connection the agent's.
func (s *Server) seat(r *http.Request, ag Agent) *fault.Error {
	if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
		return s.crowd.known(g, ag.ID)
	}
	return nil
}
