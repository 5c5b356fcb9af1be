package ssh

import (
	"context"
	"net"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// client is one connection to a bastion, from inside the run.
type client struct {
	b     *Bastion
	conn  *metered
	wait  sync.WaitGroup // its sessions
	mu    sync.Mutex
	notes []string // what was refused outside of any session, for the next one's stderr
	open  int      // sessions
	idle  *time.Timer

	ctx  context.Context // ends with the connection
	gone context.CancelFunc
}

func newClient(b *Bastion, conn net.Conn) *client {
	c := &client{b: b, conn: newMetered(conn, b.o.Limits.Packets)}
	c.ctx, c.gone = context.WithCancel(b.ctx)
	c.idle = time.AfterFunc(b.o.Limits.Handshake, c.hangUp) // replaced by the limit of an idle connection once it stands
	return c
}

func (c *client) hangUp() { _ = c.conn.Close() }

// serve runs the connection to its end.
func (c *client) serve() {
	defer c.gone()
	defer c.idle.Stop()
	defer c.hangUp()
	defer contain(c.hangUp)
	s, channels, reqs, err := xssh.NewServerConn(c.conn, c.b.config)
	if err != nil {
		return // no word of it: whoever speaks no ssh gets no answer, and the run's own log is no place for what it sent
	}
	c.idle.Reset(c.b.o.Limits.Idle)
	if u := c.b.o.User; u != "" && s.User() != u {
		c.note(c.b.o.Handle + " logs in as " + u + ", whoever is asked for")
	}
	var global sync.WaitGroup
	global.Go(func() { c.globals(reqs) })
	for nc := range channels {
		c.channel(nc)
	}
	c.gone()
	global.Wait()
	c.wait.Wait()
}

// channel begins what a client opens.
func (c *client) channel(nc xssh.NewChannel) {
	defer contain(c.hangUp)
	switch nc.ChannelType() {
	case "session":
		c.session(nc)
	case "direct-tcpip":
		c.jump(nc)
	default:
		c.refuseChannel(nc)
	}
}

// globals refuses all requests of the connection. Signs of life want any answer, and get one.
func (c *client) globals(reqs <-chan *xssh.Request) {
	for r := range reqs {
		c.global(r)
	}
}

func (c *client) global(r *xssh.Request) {
	defer contain(c.hangUp)
	_ = r.Reply(false, nil)
	switch r.Type {
	case "tcpip-forward":
		c.denied("remote-forward", c.b.o.Handle+": forwarding a port of the server (-R) is refused; run what needs it on the server itself")
	case "streamlocal-forward@openssh.com":
		c.denied("remote-forward", c.b.o.Handle+": forwarding a socket of the server (-R) is refused; run what needs it on the server itself")
	}
}

// refusals are the kinds of channel by which clients tunnel, with what to do instead.
var refusals = map[string][2]string{
	"direct-tcpip": {"direct-tcpip", "tunnels (-L, -W, -D, ProxyJump) through this server are refused: run the client on it, as in ssh HANDLE curl -s localhost:8080; " +
		"a person lets runs at the level sealed jump through it: zavhoz resource policy HANDLE --ssh-agent"},
	"direct-streamlocal@openssh.com":    {"direct-streamlocal", "tunnels to a socket on this server are refused: run the client on it, as in ssh HANDLE docker ps"},
	"tun@openssh.com":                   {"tun", "network tunnels (-w) are refused"},
	"x11":                               {"x11", "X11 is refused"},
	"auth-agent@openssh.com":            {"agent-forwarding", "agents are not forwarded"},
	"forwarded-tcpip":                   {"forwarded-tcpip", "tunnels are refused"},
	"forwarded-streamlocal@openssh.com": {"forwarded-streamlocal", "tunnels are refused"},
}

// refuseChannel says no, and why: OpenSSH prints the reason.
func (c *client) refuseChannel(nc xssh.NewChannel) {
	why, known := refusals[nc.ChannelType()]
	if !known {
		why = [2]string{"channel", "only sessions are served here: a command, a shell, sftp"}
	}
	_ = nc.Reject(xssh.Prohibited, "zavhoz: "+c.b.o.Handle+": "+why[1])
	c.record(why[0])
}

// session takes a session channel, if there is a place.
func (c *client) session(nc xssh.NewChannel) {
	if !c.b.seat() {
		_ = nc.Reject(xssh.ResourceShortage, "zavhoz: "+c.b.o.Handle+": too many sessions of this run at once; end one first")
		c.record("session")
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		c.b.unseat()
		return
	}
	c.busy(1)
	c.wait.Go(func() {
		defer c.b.unseat()
		defer c.busy(-1)
		defer contain(c.hangUp)
		newBridge(c, ch).serve(reqs)
	})
}

// busy counts sessions: only a connection without any is idle.
func (c *client) busy(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open += n; c.open == 0 {
		c.idle.Reset(c.b.o.Limits.Idle)
		return
	}
	c.idle.Stop()
}

// denied records a refusal, and keeps the reason for the next session's stderr.
func (c *client) denied(what, why string) {
	c.note(why)
	c.record(what)
}

// record of a refusal that cannot be made ends the connection.
func (c *client) record(what string) {
	if c.b.refuse.deny(what, "", fault.NotPermitted) != nil {
		c.hangUp()
	}
}

// maxNotes is how many reasons wait for a session.
const maxNotes = 8

func (c *client) note(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.notes) < maxNotes {
		c.notes = append(c.notes, why)
	}
}

func (c *client) takeNotes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.notes
	c.notes = nil
	return all
}
