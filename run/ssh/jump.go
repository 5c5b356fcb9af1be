package ssh

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Jump is where a run's own ssh may go through the server (ProxyJump): by tcp, to ports of ssh. Whoever runs any command on a server can send anywhere from
// there, so this opens no host that was closed; but it is for ssh, and databases or consoles of an inner network have doors of their own that mask and record.
type Jump struct {
	// Ports are allowed besides 22: those of the run's other servers.
	Ports []int
	// Host opens the host that a server of the run is at, which a client names by its handle and never learns; the zero Secret for any other
	// name. The bastion wipes it. Nil: none.
	Host func(handle string) (secret.Secret, error)
}

// tunnel is a direct-tcpip request (RFC 4254, section 7.2).
type tunnel struct {
	Host       string
	Port       uint32
	Originator string
	OrigPort   uint32
}

// openTimeout is how long a server may take to reach the next.
const openTimeout = 30 * time.Second

// hostChars are those of names and addresses. A zone is of the server's own links.
const hostChars = userChars + ":"

// noJump says why there is no tunnel; "" where there may be one.
func (o *BastionOptions) noJump() string {
	switch {
	case o.Exec != nil:
		return "tunnels (-L, -W, -D, ProxyJump) are refused, as this server takes certain commands only"
	case o.Jump == nil:
		return refusals["direct-tcpip"][1]
	}
	return ""
}

// jump takes a tunnel, if there is a place, and carries it.
func (c *client) jump(nc xssh.NewChannel) {
	if why := c.b.o.noJump(); why != "" {
		c.refuseTunnel(nc, why)
		return
	}
	var to tunnel
	if xssh.Unmarshal(nc.ExtraData(), &to) != nil || !plain(to.Host, hostChars, 255) || to.Port > 65535 {
		c.refuseTunnel(nc, "a jump goes to a host by its name or address")
		return
	}
	if to.Port != 22 && !slices.Contains(c.b.o.Jump.Ports, int(to.Port)) {
		c.refuseTunnel(nc, "a jump goes to port 22, or to that of another server of this run")
		return
	}
	if !c.b.seat() {
		_ = nc.Reject(xssh.ResourceShortage, "zavhoz: "+c.b.o.Handle+": too many sessions of this run at once; end one first")
		c.record("session")
		return
	}
	c.busy(1)
	c.wait.Go(func() {
		defer c.b.unseat()
		defer c.busy(-1)
		if (&hop{c: c, to: to}).run(nc) {
			c.b.halt()
		}
	})
}

func (c *client) refuseTunnel(nc xssh.NewChannel, why string) {
	_ = nc.Reject(xssh.Prohibited, "zavhoz: "+c.b.o.Handle+": "+why)
	c.record("direct-tcpip")
}

// hop is one tunnel. What passes is another ssh's, encrypted from end to end: nothing can be masked.
type hop struct {
	c         *client
	to        tunnel
	sent, got atomic.Int64
}

// run does all of it. unkept says that its end could not be recorded.
func (h *hop) run(nc xssh.NewChannel) (unkept bool) {
	taken := false
	defer func() {
		if recover() != nil && !taken { // one tunnel's defect must not end the daemon
			_ = nc.Reject(xssh.ConnectionFailed, "zavhoz: "+h.c.b.o.Handle+": the jump failed inside zavhoz")
		}
	}()
	o, ctx := &h.c.b.o, h.c.ctx
	e := Event{Handle: o.Handle, Kind: KindJump, What: strconv.Itoa(int(h.to.Port)), Target: o.masked(h.to.Host)}
	reject := func(err error) {
		taken = true
		_ = nc.Reject(xssh.ConnectionFailed, "zavhoz: "+fault.Of(err).Error())
	}
	s, err := o.Connect(ctx)
	if err != nil {
		reject(err)
		return ctx.Err() == nil && h.c.b.refuse.deny("connection", "", fault.CodeOf(err)) != nil
	}
	defer s.Close()
	if err := o.Record(e); err != nil {
		reject(o.unrecorded(err))
		return false
	}
	if far, err := h.open(ctx, s); err != nil {
		reject(err)
		e.Code = fault.CodeOf(err)
	} else if near, reqs, err := nc.Accept(); err == nil {
		taken = true
		h.carry(ctx, near, far, reqs)
	} else {
		taken = true
		_ = far.Close()
	}
	e.Ended, e.Sent, e.Received = true, h.sent.Load(), h.got.Load()
	return o.Record(e) != nil
}

// open has the server open its own tunnel. A name that is a handle is the run's word for a host that it does not know.
func (h *hop) open(ctx context.Context, s *Session) (xssh.Channel, error) {
	host := h.to.Host
	if find := h.c.b.o.Jump.Host; find != nil {
		hidden, err := find(host)
		if err != nil {
			return nil, err
		}
		defer hidden.Wipe()
		if !hidden.IsZero() {
			host = string(hidden.Reveal())
		}
	}
	far, reqs, err := s.tunnel(ctx, tunnel{host, h.to.Port, "127.0.0.1", 0})
	if err != nil {
		return nil, err
	}
	go xssh.DiscardRequests(reqs) // ends with the channel
	return far, nil
}

// tunnel opens a direct-tcpip channel beside the session, and keeps the session's place for it.
func (s *Session) tunnel(ctx context.Context, to tunnel) (xssh.Channel, <-chan *xssh.Request, error) {
	type opened struct {
		ch   xssh.Channel
		reqs <-chan *xssh.Request
		err  error
	}
	result := make(chan opened, 1)
	go func() { // nobody waits for it, as in open
		ch, reqs, err := s.link.client.OpenChannel("direct-tcpip", xssh.Marshal(to))
		result <- opened{ch, reqs, err}
	}()
	timer := time.NewTimer(openTimeout)
	defer timer.Stop()
	unreached := func(cause error) error {
		return fault.New(fault.ConnectionFailed, s.target.Handle+": the server does not reach the host that was named", "check the name from the server: ssh "+s.target.Handle+" getent hosts NAME").Because(cause)
	}
	select {
	case r := <-result:
		var refused *xssh.OpenChannelError
		switch {
		case errors.As(r.err, &refused) && refused.Reason == xssh.Prohibited:
			return nil, nil, fault.New(fault.NotSupported, s.target.Handle+": the server itself permits no tunnels", "a person allows AllowTcpForwarding in its sshd_config").Because(r.err)
		case refused != nil:
			return nil, nil, unreached(r.err)
		case r.err != nil:
			return nil, nil, failed(s.target, Broken, r.err)
		}
		return r.ch, r.reqs, nil
	case <-s.link.dead:
		return nil, nil, failed(s.target, Broken, errNoSession)
	case <-ctx.Done():
	case <-timer.C:
	}
	go func() { // the other sessions of the connection go on; this one comes late, and is not wanted
		if r := <-result; r.err == nil {
			go xssh.DiscardRequests(r.reqs)
			_ = r.ch.Close()
		}
	}()
	return nil, nil, unreached(errNoSession)
}

// carry copies both ways until both have ended, the client has gone, or nothing passed for as long as a connection may be idle. It does not outwait a server that
// does not close what it was asked to: what the library still waits for then is waited for by nobody, as in detachable; it ends with the channel or the connection.
func (h *hop) carry(ctx context.Context, near, far xssh.Channel, reqs <-chan *xssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	idle := time.AfterFunc(h.c.b.o.Limits.Idle, cancel)
	var side, data sync.WaitGroup
	side.Go(func() {
		defer contain(cancel)
		xssh.DiscardRequests(reqs) // ends when the client closes the channel
		cancel()
	})
	side.Go(func() {
		<-ctx.Done()
		defer contain(func() {})
		_, _ = near.Close(), far.Close()
	})
	data.Go(func() {
		defer contain(cancel)
		if h.forward(far, near, idle) != nil { // what it still sends must not pile up
			cancel()
		}
		_ = far.CloseWrite()
	})
	data.Go(func() {
		defer contain(cancel)
		_, _ = io.CopyBuffer(struct{ io.Writer }{near}, struct{ io.Reader }{&lively{far, &h.got, idle, h.c.b.o.Limits.Idle}}, make([]byte, 32<<10))
		_ = near.CloseWrite()
	})
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		data.Wait()
	}()
	select {
	case <-carried:
	case <-ctx.Done():
	}
	idle.Stop()
	cancel()
	side.Wait()
}

// forward carries what the client sends, until it ends or the server takes no more. While it waits, small packets are counted: see metered.
func (h *hop) forward(far io.Writer, near io.Reader, idle *time.Timer) error {
	from, buf := &lively{near, &h.sent, idle, h.c.b.o.Limits.Idle}, make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			h.c.conn.took(n)
			resume := h.c.conn.stall()
			_, werr := far.Write(buf[:n])
			resume()
			if werr != nil {
				return werr
			}
		}
		if err != nil {
			return nil
		}
	}
}

// lively counts what is read, and puts the end for idleness off.
type lively struct {
	io.Reader
	n     *atomic.Int64
	idle  *time.Timer
	limit time.Duration
}

// Read is that of the reader within.
func (l *lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.n.Add(int64(n))
	if n > 0 {
		l.idle.Reset(l.limit)
	}
	return n, err
}
