package run

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const sshPort = 22

// server opens a bastion for the resource on an address of its own, under its handle.
func (o *outfit) server(r vault.Resource) error {
	ip, err := o.next(serverNet)
	if err != nil {
		return err
	}
	hidden := &addresses{mask: o.l.mask, ctx: o.l.ctx}
	b, err := ssh.NewBastion(ssh.BastionOptions{
		Handle: r.Handle, User: r.Attrs[attrUser],
		Connect: func(ctx context.Context) (*ssh.Session, error) {
			s, err := o.e.pool.Connect(ctx, o.e.target(r))
			if err == nil {
				hidden.learn(r.Handle, s)
			}
			return s, err
		},
		Exec: o.e.execRule(r), Copy: r.Policy.AllowsCopy(), Jump: o.jump(r), Mask: hidden.text, Fill: hidden.fill,
		Record: func(ev ssh.Event) error { return o.e.noteServer(o.l, ev) },
	})
	if err != nil {
		return err
	}
	o.closers = append(o.closers, func() { _ = b.Close() })
	port := sshPort
	if !o.box.Named() {
		port += unnamedPorts
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port))
	o.service("server:"+r.Handle, addr.String(), b.Serve)
	o.hosts = append(o.hosts, ip+" "+r.Handle)
	o.aliases = append(o.aliases, ssh.Alias{Handle: r.Handle, Addr: addr, User: r.Attrs[attrUser], HostKey: b.HostKey()})
	return nil
}

// unnamedPorts is what ports below 1024 are raised by where the run has no network of its own.
const unnamedPorts = 10000

// execRule is what the policy allows on the server; nil where it says nothing.
func (e *Engine) execRule(r vault.Resource) func(line string) error {
	if len(r.Policy.Exec) == 0 {
		return nil
	}
	return func(line string) error { return e.o.Rules.MatchExec(r, line) }
}

// noteServer records what a client asked of a bastion.
func (e *Engine) noteServer(l *live, ev ssh.Event) error {
	out := audit.Allowed
	if ev.Kind == ssh.KindDenied {
		out = audit.Denied
	}
	d := map[string]string{"kind": string(ev.Kind)}
	for name, text := range map[string]string{"what": ev.What, "command": ev.Command, "target": ev.Target} {
		if text != "" {
			d[name] = text
		}
	}
	if ev.Ended && ev.Kind != ssh.KindJump {
		d["exit"] = strconv.Itoa(ev.Exit.Code)
	}
	if ev.Ended {
		d["sent"], d["received"] = strconv.FormatInt(ev.Sent, 10), strconv.FormatInt(ev.Received, 10)
	}
	return e.note(l, audit.Event{Action: audit.EgressServer, Outcome: out, Handle: ev.Handle, Code: string(ev.Code), Detail: d})
}

// clients writes what makes the run's ssh, and whatever runs it, know its servers by their handles: as the system's own files where those can be replaced,
// else as a configuration in the run's home and programs of the same names that use it.
func (o *outfit) clients() error {
	if len(o.aliases) == 0 {
		return nil
	}
	dir := o.box.Home() + "/.zavhoz"
	known := dir + "/known_hosts"
	config, knownHosts, err := ssh.ClientConfig(o.aliases, known)
	if err != nil {
		return err
	}
	more, err := o.agent(dir)
	if err != nil {
		return err
	}
	config = append(config, more...)
	o.files = append(o.files, sandbox.File{Path: known, Data: knownHosts, Mode: 0o444})
	if o.box.Named() {
		o.files = append(o.files, sandbox.File{Path: "/etc/ssh/ssh_config", Data: config, Mode: 0o444})
		return nil
	}
	o.files = append(o.files, sandbox.File{Path: dir + "/ssh_config", Data: config, Mode: 0o444})
	for _, program := range []string{"ssh", "scp", "sftp"} {
		o.files = append(o.files, sandbox.File{
			Path: dir + "/bin/" + program, Mode: 0o555, Data: []byte("#!/bin/sh\nexec /usr/bin/" + program + " -F " + dir + "/ssh_config \"$@\"\n"),
		})
	}
	o.first = dir + "/bin"
	return nil
}

// addresses masks what comes back from one server: everything that the run's own mask knows, and the addresses that connections to it were found to have.
type addresses struct {
	mask *mask
	ctx  context.Context

	mu    sync.Mutex
	known []secret.Secret
	set   *redact.Set
	m     *redact.Matcher
}

// learn takes what a connection must not show. It is called before the first byte of a session.
func (a *addresses) learn(handle string, s *ssh.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range s.Hidden() {
		if a.set == nil {
			a.set = redact.NewSet(redact.Options{AllowShort: true})
		}
		if h.Len() >= shortest && !slices.ContainsFunc(a.known, h.Equal) {
			a.known, a.m = append(a.known, h), nil
			_ = a.set.Add(handle+"."+fieldHost, h)
		}
	}
}

// matcher is of the addresses known by now; nil where there are none.
func (a *addresses) matcher() *redact.Matcher {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil && a.set != nil {
		a.m = a.set.Compile()
	}
	return a.m
}

// text redacts a stream of text.
func (a *addresses) text(dst io.Writer) io.WriteCloser {
	inner := a.mask.to(a.ctx, dst)
	if m := a.matcher(); m != nil {
		return chain{m.Stream(inner), inner}
	}
	return inner
}

// fill redacts and keeps every length.
func (a *addresses) fill(dst io.Writer) io.WriteCloser {
	inner := a.mask.sameLength(a.ctx, dst)
	if m := a.matcher(); m != nil {
		return chain{m.SameLength(filler).Stream(inner), inner}
	}
	return inner
}

// chain is a redacting stream in front of another.
type chain struct {
	io.WriteCloser
	next io.Closer
}

// Close lets out what each held back, in order.
func (c chain) Close() error {
	err := c.WriteCloser.Close()
	if nerr := c.next.Close(); err == nil {
		err = nerr
	}
	return err
}
