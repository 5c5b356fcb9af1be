package egress

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Explicit serves clients that were told of a proxy (CONNECT), until the listener or the proxy is closed. Close of the proxy ends it with nil.
func (p *Proxy) Explicit(l net.Listener) error {
	return p.accept(l, p.connect)
}

// Transparent serves clients that were led here by name, as Explicit does; port is the one that they believe to talk to.
func (p *Proxy) Transparent(l net.Listener, port int) error {
	return p.accept(l, func(c *entryConn) { p.hello(c, target{port: port}) })
}

// accept takes connections and hands each to serve, which owns it.
func (p *Proxy) accept(l net.Listener, serve func(*entryConn)) error {
	if !p.track(l) || !p.enter() {
		return l.Close()
	}
	defer p.untrack(l)
	defer p.leave()
	for wait := time.Millisecond; ; {
		c, err := l.Accept()
		if err != nil {
			if p.ctx.Err() != nil {
				return nil
			}
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() || errors.Is(err, errTooMany) {
				time.Sleep(wait)
				wait = min(2*wait, time.Second)
				continue
			}
			return err
		}
		wait = time.Millisecond
		p.take(c, serve)
	}
}

// take counts a connection in, or turns it away.
func (p *Proxy) take(c net.Conn, serve func(*entryConn)) {
	e := &entryConn{Conn: c, p: p}
	p.mu.Lock()
	full := p.conns >= p.o.MaxConns
	if p.closed || full {
		p.mu.Unlock()
		_ = c.Close()
		return
	}
	p.conns++
	p.open[e] = struct{}{}
	p.working.Add(1)
	p.mu.Unlock()
	go func() {
		defer p.working.Done()
		defer func() {
			if bad := recover(); bad != nil {
				p.panicked("connection", bad)
				_ = e.Close()
			}
		}()
		serve(e)
	}()
}

// entryConn is a connection of the command.
type entryConn struct {
	net.Conn
	p      *Proxy
	target target
	rest   *bufio.Reader // bytes that were read too far; nil: none
	peeked []byte        // a ClientHello that was looked at
	once   sync.Once
}

func (c *entryConn) Read(b []byte) (int, error) {
	if len(c.peeked) > 0 {
		n := copy(b, c.peeked)
		c.peeked = c.peeked[n:]
		return n, nil
	}
	if c.rest != nil {
		if c.rest.Buffered() > 0 {
			return c.rest.Read(b)
		}
		c.rest = nil
	}
	return c.Conn.Read(b)
}

func (c *entryConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.p.mu.Lock()
		delete(c.p.open, c)
		c.p.conns--
		c.p.mu.Unlock()
	})
	return err
}

// connect reads what a client asks of a proxy: a CONNECT, or it is refused.
func (p *Proxy) connect(c *entryConn) {
	_ = c.SetDeadline(time.Now().Add(headerTimeout))
	limited := &io.LimitedReader{R: c.Conn, N: maxConnectSize}
	br := bufio.NewReaderSize(limited, 4<<10)
	r, err := http.ReadRequest(br)
	if err != nil {
		p.turnAway(c, target{}, "", refusedConnect)
		return
	}
	if r.Method != http.MethodConnect {
		no := refusedProxyUse
		if r.URL.Host != "" {
			no = refusedHTTP
		}
		t, _ := parseTarget(r.Host, 80)
		p.turnAway(c, t, r.Method, no)
		return
	}
	t, err := parseTarget(r.RequestURI, 0)
	if err != nil || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		p.turnAway(c, target{}, r.Method, refusedConnect)
		return
	}
	limited.N = 1 << 62
	if br.Buffered() > 0 {
		c.rest = br
	}
	c.target = t
	switch {
	case p.halted.Load() != nil:
		p.turnAway(c, t, r.Method, p.halted.Load())
	case p.intercepts(t):
		if _, err := io.WriteString(c.Conn, established); err != nil {
			_ = c.Close()
			return
		}
		p.intercept(c)
	case policy.Reaches(p.o.PassThrough, t.host, t.port):
		p.tunnel(c, true)
	default:
		p.turnAway(c, t, r.Method, p.refusedHost())
	}
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// turnAway records a refusal, answers it and closes.
func (p *Proxy) turnAway(c *entryConn, t target, method string, no *refusal) {
	no = p.begin(t, method).refused(no, Denied)
	_ = c.SetDeadline(time.Now().Add(headerTimeout))
	_, _ = c.Conn.Write(no.raw())
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok { // let it be read: a close with bytes unread would cut it
		_ = half.CloseWrite()
		_, _ = io.CopyN(io.Discard, c, maxConnectSize)
	}
	_ = c.Close()
}

// refusedHost refuses a host that nothing allows, and names those that something does.
func (p *Proxy) refusedHost() *refusal {
	var hosts []string
	p.eachRule(func(r policy.HostRule) {
		if h := (policy.HostRule{Host: r.Host, Port: r.Port}).String(); len(hosts) < maxListed && (len(hosts) == 0 || hosts[len(hosts)-1] != h) {
			hosts = append(hosts, h)
		}
	})
	return &refusal{http.StatusForbidden, fault.New(fault.HostNotAllowed, "no resource of this run allows this host",
		"use a host of the list, or ask a person to allow it: zavhoz resource policy HANDLE --host, or --pass-through for one that needs no credential").With("hosts", hosts)}
}

// intercept takes the client's TLS off, and lets the server have what is inside.
func (p *Proxy) intercept(c *entryConn) {
	_ = c.SetDeadline(time.Time{})
	select {
	case p.inner <- tls.Server(c, p.tls):
	case <-p.ctx.Done():
		_ = c.Close()
	}
}

// tlsConfig is how clients are met. The link to them does not leave this machine, so nothing is spent on keys that withstand a quantum computer.
func (p *Proxy) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			c, ok := h.Conn.(*entryConn)
			if !ok {
				return nil, errClosed
			}
			return nil, p.named(c, h.ServerName)
		},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, ok := h.Conn.(*entryConn)
			if !ok {
				return nil, errClosed
			}
			return p.authority.certificate(c.target.host, p.o.Now())
		},
	}
}

// named holds a handshake to its connection: the name is that of the CONNECT; on a transparent one it says whom the client means. What it may not reach
// gets no certificate.
func (p *Proxy) named(c *entryConn, sni string) error {
	if c.target.host == "" {
		host, err := policy.CanonicalHost(sni)
		if t := (target{host, c.target.port}); err == nil && p.intercepts(t) {
			c.target = t
			return nil
		}
		_ = p.begin(target{bounded(host, maxPath), c.target.port}, "").refused(p.refusedHost(), Denied)
		return errAddress
	}
	if !c.target.namedBy(sni) {
		_ = p.begin(c.target, "").refused(refusedAuthority, Denied)
		return errAddress
	}
	return nil
}
