package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
)

// door is one listener with what serves it.
type door struct {
	serve func(context.Context)
	shut  func(context.Context)
}

// openDoors binds every listener. The vault file's lock is held by now, so a socket file that is there is a dead daemon's.
func (d *daemon) openDoors() (doors []door, err error) {
	var bound []net.Listener
	defer func() {
		if err != nil {
			for _, l := range bound {
				l.Close()
			}
		}
	}()
	bind := func(make func() (net.Listener, error), serve func(net.Listener) door) {
		if err != nil {
			return
		}
		var l net.Listener
		if l, err = make(); err == nil {
			bound, doors = append(bound, l), append(doors, serve(l))
		}
	}
	if d.o.system { // nobody who can enter the home is an agent
		if err = removed(d.dir.AgentSock()); err != nil {
			return nil, err
		}
	} else {
		bind(func() (net.Listener, error) { return d.socket(d.dir.AgentSock()) }, func(l net.Listener) door { return d.agentDoor(l, d.housemate) })
	}
	if d.cfg.Agents.Path != "" {
		bind(d.listenAgents, func(l net.Listener) door { return d.agentDoor(l, d.neighbour) })
	}
	bind(func() (net.Listener, error) { return d.socket(d.dir.OperatorSock()) }, d.operatorDoor)
	if err != nil || d.o.listen == "" {
		return doors, err
	}
	tcp, err := d.httpDoor()
	return append(doors, tcp), err
}

var errNoSocket = fault.New(fault.DaemonUnavailable, "the socket cannot be made", "check the home folder, and agent_socket in config.yaml: `zavhoz doctor`")

// nurseries keeps two sockets from being made at once: one would be moved to the place of the other, and the daemon not be reached there any more.
var nurseries sync.Mutex

// removed takes away a socket that is there.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errNoSocket.Because(err)
	}
	return nil
}

// listenUnix binds a socket with these rights (gid -1: the daemon's own group). It is made in a folder that nobody else enters and moved out when it
// has them, so that it can never be reached with wider ones. That folder is one for all sockets of a place: they are made one after the other.
func listenUnix(path string, mode os.FileMode, gid int) (net.Listener, error) {
	nurseries.Lock()
	defer nurseries.Unlock()
	if err := removed(path); err != nil {
		return nil, err
	}
	nursery := filepath.Join(filepath.Dir(path), ".new")
	if err := errors.Join(os.RemoveAll(nursery), os.Mkdir(nursery, 0o700)); err != nil {
		return nil, errNoSocket.Because(err)
	}
	defer os.Remove(nursery)
	tmp := filepath.Join(nursery, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, errNoSocket.Because(err)
	}
	l.SetUnlinkOnClose(false)
	if gid >= 0 {
		err = os.Lchown(tmp, -1, gid)
	}
	if err := errors.Join(err, os.Chmod(tmp, mode), os.Rename(tmp, path)); err != nil {
		l.Close()
		_ = os.Remove(tmp)
		return nil, errNoSocket.Because(err)
	}
	return l, nil
}

// sameUser refuses peers of another uid; the folder's mode does too, and root is let in.
func sameUser(c net.Conn) bool {
	p, ok := peerOf(c)
	return ok && (p.UID == os.Getuid() || p.UID == 0)
}

// agentDoor serves MCP, and nothing else, to those whom judge lets in.
func (d *daemon) agentDoor(l net.Listener, judge func(net.Conn) (visitor, bool)) door {
	var conns sync.WaitGroup
	return door{
		serve: func(ctx context.Context) {
			for {
				c, err := l.Accept()
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
						d.log.Error("agent socket", "cause", fault.Cause(err))
						time.Sleep(10 * time.Millisecond) // out of descriptors: do not spin
						continue
					}
					return
				}
				who, ok := judge(c)
				if !ok {
					c.Close()
					continue
				}
				conns.Go(func() {
					defer d.idle.enter()()
					_ = d.mcp.ServeConn(who.into(ctx), c) // its end is the client's affair; what matters is logged inside
				})
			}
		},
		shut: func(ctx context.Context) {
			l.Close()
			done := make(chan struct{})
			go func() { conns.Wait(); close(done) }()
			select {
			case <-done:
			case <-ctx.Done():
			}
		},
	}
}

// operatorDoor serves the operator's API on the operator's socket.
func (d *daemon) operatorDoor(l net.Listener) door {
	var cs callers
	ctx, runs := context.Background(), openRuns{d.engine, d.vault}
	srv := &http.Server{
		Handler: d.idle.wrap(d.lock.used.wrap(d.web)), ConnContext: cs.connContext,
		ConnState: func(c net.Conn, s http.ConnState) {
			if (s == http.StateClosed || s == http.StateHijacked) && ctx.Err() == nil { // at the daemon's own end the next one records them as lost
				runs.abandon(context.WithoutCancel(ctx), cs.closed(c))
			}
		},
		// no IdleTimeout: a run's connection is silent while its command works
		ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(discard{}, "", 0),
	}
	return door{
		serve: func(c context.Context) { ctx = c; _ = srv.Serve(clearing{userOnly{l}}) },
		shut: func(ctx context.Context) {
			_ = srv.Shutdown(ctx)
			_ = srv.Close() // a long request does not outlive its grace
		},
	}
}

// userOnly accepts connections of this user only.
type userOnly struct{ net.Listener }

// Accept waits for the next connection that this user made.
func (u userOnly) Accept() (net.Conn, error) {
	for {
		c, err := u.Listener.Accept()
		if err != nil || sameUser(c) {
			return c, err
		}
		c.Close()
	}
}

// discard swallows net/http's own log lines: they may hold parts of requests.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// httpDoor serves MCP and the operator's API over HTTP, each to bearers of tokens of its own, and health. Off loopback it needs TLS or a named proxy.
func (d *daemon) httpDoor() (door, error) {
	if err := mcp.ListenPolicy(d.o.listen, d.cfg.HTTP.TLSCert != "", d.cfg.TrustedProxies(), d.cfg.HTTP.PublicURL); err != nil {
		return door{}, err
	}
	var tc *tls.Config
	if d.cfg.HTTP.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(d.cfg.HTTP.TLSCert, d.cfg.HTTP.TLSKey)
		if err != nil {
			return door{}, fault.New(fault.InvalidArgument, "the TLS certificate or key cannot be read", "check tls_cert and tls_key").Because(err)
		}
		tc = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	l, err := net.Listen("tcp", d.o.listen)
	if err != nil {
		return door{}, fault.New(fault.DaemonUnavailable, "the address cannot be listened on", "choose another with --listen").Because(err)
	}
	d.listen = l.Addr().String()
	l = d.mcp.Bound(clearing{l})
	mux := http.NewServeMux()
	health := web.Health(func(ctx context.Context) error { _, err := d.vault.Local(ctx); return readiness(err) })
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	mux.Handle("/api/v1/", d.web.HTTP(d.mcp, d.lock.used.wrap))
	mux.Handle("/intake/", d.web.Pages(d.mcp, d.lock.used.wrap))
	mux.Handle("/", d.mcp.HTTPHandler())
	srv := &http.Server{
		Handler: d.idle.wrap(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, TLSConfig: tc, ConnContext: d.mcp.ConnContext,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100}, ErrorLog: log.New(discard{}, "", 0),
	}
	return door{
		serve: func(context.Context) {
			if tc != nil {
				_ = srv.ServeTLS(l, "", "")
				return
			}
			_ = srv.Serve(l)
		},
		shut: func(ctx context.Context) {
			d.mcp.CloseSessions()
			_ = srv.Shutdown(ctx)
			_ = srv.Close()
			d.mcp.Settle(ctx) // what its clients left on the way to other daemons: HTTP/2 does not wait for a handler whose connection is gone
		},
	}, nil
}

// pageURL is where a person's browser finds the pages: the public URL, else the address that is listened on, where that is one of this machine's; "" where there is none.
func (d *daemon) pageURL() string {
	if d.cfg.HTTP.PublicURL != "" && d.listen != "" {
		return d.cfg.HTTP.PublicURL
	}
	at, err := netip.ParseAddrPort(d.listen)
	if err != nil || at.Addr().IsUnspecified() {
		return ""
	}
	if d.cfg.HTTP.TLSCert != "" {
		return "https://" + d.listen
	}
	return "http://" + d.listen
}

// readiness: an agent `local` that the operator removed does not make the vault unready.
func readiness(err error) error {
	if fault.CodeOf(err) == fault.UnknownAgent {
		return nil
	}
	return err
}
