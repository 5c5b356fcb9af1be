package egress

import (
	"bytes"
	"context"
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

var (
	errPeeked    = errors.New("egress: the hello was read")
	refusedNoTLS = refuse(http.StatusForbidden, fault.HTTPSRequired, "a tunnel begins with a TLS handshake that names its host", "use https:// with the name of the host")
)

// hello reads how a connection begins and sends it where it belongs: t has the port, and, after a CONNECT, the host.
func (p *Proxy) hello(c *entryConn, t target) {
	c.target = t
	if len(p.o.PassThrough) == 0 {
		p.intercept(c)
		return
	}
	sni, err := c.peek()
	if err != nil {
		p.turnAwayQuietly(c, t, refusedNoTLS)
		return
	}
	host, err := policy.CanonicalHost(sni)
	named := target{host, t.port}
	switch {
	case err != nil:
		p.turnAwayQuietly(c, t, refusedAuthority)
	case p.intercepts(named):
		p.intercept(c)
	case policy.Reaches(p.o.PassThrough, host, t.port):
		c.target = named
		p.tunnel(c, false)
	default:
		p.turnAwayQuietly(c, named, p.refusedHost())
	}
}

// turnAwayQuietly records a refusal of a client that expects TLS, and closes.
func (p *Proxy) turnAwayQuietly(c *entryConn, t target, no *refusal) {
	p.begin(t, "").refused(no, Denied)
	_ = c.Close()
}

// peek reads the ClientHello and keeps its bytes, to be read again. The library does the parsing.
func (c *entryConn) peek() (sni string, err error) {
	_ = c.SetReadDeadline(time.Now().Add(helloTimeout))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	var seen bytes.Buffer
	err = tls.Server(&eavesdrop{Conn: c, seen: &seen}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		sni = h.ServerName
		return nil, errPeeked
	}}).HandshakeContext(context.Background())
	c.peeked = append(seen.Bytes(), c.peeked...)
	if errors.Is(err, errPeeked) {
		return sni, nil
	}
	return "", errors.Join(errAddress, err)
}

// eavesdrop keeps what is read and writes nothing.
type eavesdrop struct {
	net.Conn
	seen *bytes.Buffer
}

func (e *eavesdrop) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	_, _ = e.seen.Write(b[:n])
	return n, err
}

func (*eavesdrop) Write(b []byte) (int, error)      { return 0, errPeeked }
func (*eavesdrop) Close() error                     { return nil }
func (*eavesdrop) SetDeadline(time.Time) error      { return nil }
func (*eavesdrop) SetReadDeadline(time.Time) error  { return nil }
func (*eavesdrop) SetWriteDeadline(time.Time) error { return nil }

// tunnelConn is the host's end of a tunnel.
type tunnelConn struct{ net.Conn }

// tunnel joins a client with a host that is passed through: no byte of it is read but the name that the handshake begins with, which must be the host's. connected
// says that the client waits for the answer to its CONNECT.
func (p *Proxy) tunnel(c *entryConn, connected bool) {
	x := p.begin(c.target, "")
	if why := p.halted.Load(); why != nil {
		p.endTunnel(c, x, why, connected)
		return
	}
	conn, err := p.through.dial(p.flow, c.target.host, c.target.port)
	if err != nil {
		p.endTunnel(c, x, p.explainTunnel(err), connected)
		return
	}
	up := &tunnelConn{conn}
	defer func() { _ = up.Close() }()
	if !p.track(up) {
		p.endTunnel(c, x, refusedClosed, connected)
		return
	}
	defer p.untrack(up)
	if why := p.halted.Load(); why != nil { // while it was dialled: what closes tunnels then did not see this one
		p.endTunnel(c, x, why, connected)
		return
	}
	if connected {
		if _, err := io.WriteString(c.Conn, established); err != nil {
			p.endTunnel(c, x, refusedClosed, false)
			return
		}
		sni, err := c.peek()
		if err != nil {
			p.endTunnel(c, x, refusedNoTLS, false)
			return
		}
		if !c.target.namedBy(sni) {
			p.endTunnel(c, x, refusedAuthority, false)
			return
		}
	}
	if x.opened(Passed) != nil { // nothing was sent yet
		_ = x.refused(refusedRecord, Failed)
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	whole := p.splice(x, c, conn)
	_ = c.Close()
	if !whole {
		_ = x.finish(Failed, fault.Internal)
		return
	}
	_ = x.finish(Passed, "")
}

func (p *Proxy) endTunnel(c *entryConn, x *exchange, no *refusal, answer bool) {
	no = x.refused(no, Denied)
	if answer {
		_ = c.SetDeadline(time.Now().Add(headerTimeout))
		_, _ = c.Conn.Write(no.raw())
	}
	_ = c.Close()
}

func (p *Proxy) explainTunnel(err error) *refusal {
	if errors.Is(err, errAddress) || errors.Is(err, errNoAddress) {
		return refuse(http.StatusForbidden, fault.HostNotAllowed, "the host's address is not a public one, and what is passed through may reach no other", "ask a person: a resource can allow private addresses")
	}
	return refuseUpstream(http.StatusBadGateway, fault.ConnectionFailed, "the host cannot be reached")
}

// splice copies both ways until both ends are done, and counts the bytes of each way. When one way ends the other is told. False where a panic ended it.
func (p *Proxy) splice(x *exchange, c *entryConn, up net.Conn) bool {
	var both sync.WaitGroup
	cut := func() { _, _ = c.Close(), up.Close() }
	sent := true
	both.Go(func() {
		sent = p.contained("tunnel", cut, func() {
			first, _ := up.Write(c.peeked)
			c.peeked = nil
			var src io.Reader = c
			if c.rest == nil || c.rest.Buffered() == 0 {
				src = c.Conn // the kernel can do it alone
			}
			x.event.Up, _ = io.Copy(up, src)
			x.event.Up += int64(first)
			closeWrite(up)
		})
	})
	received := p.contained("tunnel", cut, func() {
		x.event.Down, _ = io.Copy(c.Conn, up)
		closeWrite(c.Conn)
	})
	both.Wait()
	return sent && received
}

func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}
