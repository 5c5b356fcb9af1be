package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// A daemon that is a service of the system has a user of its own, and the promise of level vaulted is that no agent has that user: an agent's own
// shell can then read neither the vault, nor the daemon, nor a run (threat-model.md 20, 21, 22). So such a daemon takes agents of other users only,
// by their tokens, at a socket made for them: one that comes as the daemon's own user, or as root, could read everything anyway, and is told so
// instead of being promised a wall that is not there.

// checkSystem refuses what a service of the system cannot be.
func (o serveOptions) checkSystem() error {
	switch {
	case !o.system:
		return nil
	case o.autostarted: // by a client: it would have the client's user, and whoever has that is not kept out
		return fault.New(fault.DaemonUnavailable, "this vault belongs to a service of the system, which does not run", "start the service: systemctl start zavhoz")
	case runtime.GOOS != "linux" && runtime.GOOS != "darwin":
		return fault.New(fault.NotSupported, "a service of the system needs to know who is at the other end of a socket, which this platform does not tell", "take `system: true` out of config.yaml")
	}
	return nil
}

// visitor is what a door found out about who comes.
type visitor struct {
	refused error // not let in, with what to do
	token   bool  // nobody without a token
}

type visitorKey struct{}

// bySocket tells whether ctx comes from a socket, whose door has looked at who connects.
func bySocket(ctx context.Context) bool {
	_, ok := ctx.Value(visitorKey{}).(visitor)
	return ok
}

func (v visitor) into(ctx context.Context) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// admit gives err where the door that ctx comes from does not let its visitor in.
func admit(ctx context.Context, withToken bool) error {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	if v.refused == nil && v.token && !withToken {
		return errNeedsToken
	}
	return v.refused
}

var (
	errNeedsToken = fault.New(fault.Unauthenticated, "agents of other users need a token here", "the operator makes one with `zavhoz agent add NAME`; give it to this agent as ZAVHOZ_AGENT_TOKEN")
	errOwnAgent   = fault.New(fault.NotPermitted, "this agent runs as the daemon's own user or as root, and no wall stands between them", "run the agent as a user of its own")
)

// kin are the daemon's own user, and root.
func (d *daemon) kin(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// neighbour judges who comes to the socket that is for agents of other users.
func (d *daemon) neighbour(c net.Conn) (visitor, bool) {
	p, ok := peerOf(c)
	if ok && d.o.system && d.kin(p.UID) {
		return visitor{refused: errOwnAgent}, true
	}
	return visitor{token: true}, ok
}

// housemate judges who comes to the socket in the home, which others cannot enter.
func (d *daemon) housemate(c net.Conn) (visitor, bool) { return visitor{}, sameUser(c) }

// protected are the folders that no run may have: whoever writes there stands between the daemon and those who speak to it.
func (d *daemon) protected() []string {
	list := []string{d.dir.Path(), d.dir.Run()}
	if d.cfg.Agents.Path != "" {
		list = append(list, filepath.Dir(d.cfg.Agents.Path))
	}
	return list
}

// listenAgents makes the socket for agents of other users.
func (d *daemon) listenAgents() (net.Listener, error) {
	where := d.cfg.Agents
	if err := trustedFolder(filepath.Dir(where.Path), os.Geteuid()); err != nil {
		return nil, err
	}
	gid, err := groupID(where.Group)
	if err != nil {
		return nil, err
	}
	return listenUnix(where.Path, 0o660, gid)
}

// dialService connects to the socket that another user's daemon made for agents, and sends nothing to whom it cannot trust: the token goes there. The
// folder must be one that only root and the daemon's user can change, or anybody could stand in the daemon's place.
func dialService(ctx context.Context, sock string) (net.Conn, error) {
	if !filepath.IsAbs(sock) {
		return nil, fault.New(fault.InvalidArgument, "a socket is named by its absolute path", "for example --socket /run/zavhoz/agent.sock")
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", sock)
	if err != nil {
		return nil, fault.New(fault.DaemonUnavailable, "the service does not answer at this socket", "is it running (systemctl status zavhoz), and is this user in the socket's group?").Because(err)
	}
	p, ok := peerOf(c)
	if !ok {
		err = errStranger
	} else {
		err = trustedFolder(filepath.Dir(sock), p.UID)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
