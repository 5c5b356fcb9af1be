package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// startWait is how long a daemon may take to be ready: a large vault is checked as a whole first.
const startWait = 60 * time.Second

// started is the one line that a daemon writes to the descriptor it was given, when it is ready or has failed.
type started struct {
	Ready   bool   `json:"ready"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Next    string `json:"next,omitempty"`
}

// dialer connects to one of the daemon's sockets and starts a daemon where none runs.
type dialer struct {
	dir     home.Dir
	sock    string
	program string // to start as the daemon; "": this one
	locked  bool   // start it locked
}

func (d dialer) dial(ctx context.Context) (net.Conn, error) {
	c, err := dialSocket(ctx, d.sock)
	if err == nil || errors.Is(err, errStranger) {
		return c, err
	}
	if err := d.dir.Check(); err != nil {
		return nil, err
	}
	unlock, err := lockStart(ctx, d.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	deadline := time.Now().Add(startWait)
	for {
		if c, err := dialSocket(ctx, d.sock); err == nil {
			return c, nil // another door started it while we waited for the lock
		}
		err := startDaemon(ctx, d.dir, d.program, d.locked)
		// vault_busy: a daemon whose starter died holds the vault and is about to listen
		if err != nil && fault.CodeOf(err) != fault.VaultBusy || time.Now().After(deadline) {
			return nil, err
		}
		if err == nil {
			return dialSocket(ctx, d.sock)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func dialSocket(ctx context.Context, sock string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", sock)
	if err != nil {
		return nil, fault.New(fault.DaemonUnavailable, "the daemon does not answer", "try again; `zavhoz doctor` says more").Because(err)
	}
	if p, ok := peerOf(c); !ok || p.UID != os.Getuid() {
		c.Close()
		return nil, errStranger
	}
	return c, nil
}

// errStranger refuses a socket at the daemon's place that another user made: it would receive what we send (threat-model.md 22).
var errStranger = fault.New(fault.KeyFileExposed, "the daemon's socket belongs to another user", "run zavhoz as the user who ran `zavhoz init`, or remove the folder of the socket")

// startDaemon starts `zavhoz serve` detached from this terminal and session, and waits until it is ready or says why not.
func startDaemon(ctx context.Context, dir home.Dir, program string, locked bool) error {
	self, err := program, error(nil)
	if self == "" {
		self, err = os.Executable()
	}
	if err != nil {
		return fault.New(fault.DaemonUnavailable, "zavhoz does not find its own program", "start `zavhoz serve` by hand").Because(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	log, err := openLog(dir.Log(), dir.Holder())
	if err != nil {
		w.Close()
		return fault.New(fault.DaemonUnavailable, "the log file cannot be written", "check the home folder: `zavhoz doctor`").Because(err)
	}
	defer log.Close()
	cmd := exec.Command(self, "serve", "--autostarted", "--home", dir.Path()) // by name, so that ps tells daemons apart
	if locked {
		cmd.Args = append(cmd.Args, "--locked")
	}
	cmd.Env = daemonEnv(dir)
	cmd.Dir = string(os.PathSeparator)
	cmd.Stderr = log
	detach(cmd, w)
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fault.New(fault.DaemonUnavailable, "the daemon could not be started", "start `zavhoz serve` by hand").Because(err)
	}
	go func() { _ = cmd.Wait() }() // so that no zombie stays while a door lives
	return awaitReady(ctx, r)
}

// awaitReady reads the daemon's one line.
func awaitReady(ctx context.Context, r *os.File) error {
	_ = r.SetReadDeadline(time.Now().Add(startWait))
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReaderSize(r, 4096).ReadBytes('\n')
	var s started
	if err != nil || json.Unmarshal(line, &s) != nil {
		return fault.New(fault.DaemonUnavailable, "the daemon ended before it was ready", "see the end of its log: `zavhoz doctor` names the file").Because(errors.Join(err, ctx.Err()))
	}
	if s.Ready {
		return nil
	}
	for _, known := range fault.Codes() {
		if string(known) == s.Code {
			return fault.New(known, s.Message, s.Next)
		}
	}
	return fault.New(fault.DaemonUnavailable, "the daemon could not start", "see its log: `zavhoz doctor` names the file")
}

// daemonVars are what a started daemon inherits of the caller's environment, where it is set.
var daemonVars = []string{"PATH", "HOME", "USER", "LOGNAME", "TZ", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME",
	"GHOST_SERVERS", "SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot", "LOCALAPPDATA"}

// daemonEnv is all that a started daemon inherits: where things are, never a token or whatever else the caller's environment holds.
func daemonEnv(dir home.Dir) []string {
	env := []string{home.EnvHome + "=" + dir.Path()}
	for _, name := range daemonVars {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, databaseEnv(dir)...)
}

// plainDial connects without starting anything.
func plainDial(sock string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return dialSocket(ctx, sock) }
}
