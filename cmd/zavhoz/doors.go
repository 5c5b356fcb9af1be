package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
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
func (d *daemon) openDoors() ([]door, error) {
	agent, err := listenUnix(d.dir.AgentSock())
	if err != nil {
		return nil, err
	}
	oper, err := listenUnix(d.dir.OperatorSock())
	if err != nil {
		agent.Close()
		return nil, err
	}
	doors := []door{d.agentDoor(agent), d.operatorDoor(oper)}
	if d.o.listen == "" {
		return doors, nil
	}
	tcp, err := d.httpDoor()
	if err != nil {
		agent.Close()
		oper.Close()
		return nil, err
	}
	return append(doors, tcp), nil
}

// listenUnix binds a socket that only this user reaches. It is made under another name and renamed, so that it never stands there with wider rights.
func listenUnix(path string) (net.Listener, error) {
	cannot := fault.New(fault.DaemonUnavailable, "the socket cannot be made", "check the home folder: `zavhoz doctor`")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, cannot.Because(err)
	}
	tmp := filepath.Join(filepath.Dir(path), ".s")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, cannot.Because(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, cannot.Because(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(tmp, 0o600), os.Rename(tmp, path)); err != nil {
		l.Close()
		return nil, cannot.Because(err)
	}
	return l, nil
}

// sameUser refuses peers of another uid; the folder's mode does too, and root is let in.
func sameUser(c net.Conn) bool {
	p, ok := peerOf(c)
	return ok && (p.UID == os.Getuid() || p.UID == 0)
}

// agentDoor serves MCP, and nothing else, on the agent's socket.
func (d *daemon) agentDoor(l net.Listener) door {
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
				if !sameUser(c) {
					c.Close()
					continue
				}
				conns.Go(func() {
					defer d.idle.enter()()
					_ = d.mcp.ServeConn(ctx, c) // its end is the client's affair; what matters is logged inside
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
	ctx, runs := context.Background(), openRuns{d.engine}
	srv := &http.Server{
		Handler: d.idle.wrap(d.web), ConnContext: cs.connContext,
		ConnState: func(c net.Conn, s http.ConnState) {
			if (s == http.StateClosed || s == http.StateHijacked) && ctx.Err() == nil { // at the daemon's own end the next one records them as lost
				runs.abandon(context.WithoutCancel(ctx), cs.closed(c))
			}
		},
		// no IdleTimeout: a run's connection is silent while its command works
		ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(discard{}, "", 0),
	}
	return door{
		serve: func(c context.Context) { ctx = c; _ = srv.Serve(userOnly{l}) },
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

// httpDoor serves MCP over HTTP, and health. Off loopback it needs TLS or a named proxy.
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
	mux := http.NewServeMux()
	health := web.Health(func(ctx context.Context) error { _, err := d.vault.Local(ctx); return readiness(err) })
	mux.Handle("/healthz", health)
	mux.Handle("/readyz", health)
	mux.Handle("/", d.mcp.HTTPHandler())
	srv := &http.Server{
		Handler: d.idle.wrap(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, TLSConfig: tc, ErrorLog: log.New(discard{}, "", 0),
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
		},
	}, nil
}

// readiness: an agent `local` that the operator removed does not make the vault unready.
func readiness(err error) error {
	if fault.CodeOf(err) == fault.UnknownAgent {
		return nil
	}
	return err
}
