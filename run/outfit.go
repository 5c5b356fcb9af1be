package run

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// outfit is what a command within walls is given in the place of values and of a network: placeholders in its environment, and on its private loopback the
// egress proxy, a bastion for each server and a front for each database. Close it when the run has ended.
type outfit struct {
	e   *Engine
	l   *live
	box *sandbox.Box
	at  *place // where it writes beside folders; nil: nowhere

	items   []deliver.Item
	drawn   []string // placeholders: they look like secrets on purpose
	extra   []string // variables of the proxy and of trust, complete
	files   []sandbox.File
	listen  []sandbox.Listen
	serve   map[string]func(net.Listener) error // by the name of the listener
	hosts   []string                            // lines of the run's hosts file
	aliases []ssh.Alias
	fronts  []string // URLs of databases, as the run has them
	jumps   jumps
	first   string         // a folder to look for programs in before all others; "" for none
	used    map[string]int // addresses given out, by network
	proxy   *egress.Proxy
	closers []func()
	serving sync.WaitGroup
}

// Where a run's own services listen, on its private loopback. Names of allowed hosts lead to transparentIP; servers and databases have an address each.
const (
	proxyAddr     = "127.0.0.1:3128"
	transparentIP = "127.0.0.2"
	serverNet     = "127.0.1."
	databaseNet   = "127.0.2."
	maxServices   = 24 // of either: a sandbox has 64 listeners in all
)

// outfit makes what the plan's resources need in the box.
func (e *Engine) outfit(ctx context.Context, l *live, p *plan, box *sandbox.Box) (o *outfit, err error) {
	o = &outfit{e: e, l: l, box: box, serve: map[string]func(net.Listener) error{}}
	l.mask.exempt = func() []string { return o.drawn }
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if err := o.plot(p); err != nil {
		return o, err
	}
	var reach []egress.Resource
	for _, u := range p.uses {
		switch policy.Delivery(p.delivered[u.Resource.Handle]) {
		case policy.SSH:
			err = o.server(u.Resource)
		case policy.Broker:
			if s := p.standIns[u.Resource.ID]; s.Front == kind.Environment {
				var more []egress.Resource
				more, err = o.environment(p, u.Resource)
				reach = append(reach, more...)
			} else if s.Front != "" {
				err = o.database(u.Resource, s)
			} else {
				var r egress.Resource
				r, err = o.api(u.Resource, s)
				reach = append(reach, r)
			}
		default: // a pinned command holds the value; its requests go out as they are, to the resource's hosts only
			if u.Resource.Kind == kind.Environment {
				var more []egress.Resource
				more, err = o.held(p, u.Resource)
				reach = append(reach, more...)
				break
			}
			var r egress.Resource
			r, err = egressResource(u.Resource, e.o.Rules.StandIn(u.Resource).Hosts)
			r.Holds = true
			reach = append(reach, r)
		}
		if err != nil {
			return o, err
		}
	}
	if err := o.clients(); err != nil {
		return o, err
	}
	o.gitIdentity()
	o.soleDatabase()
	return o, o.network(p, reach)
}

// next gives the next address of one of the run's loopback networks.
func (o *outfit) next(network string) (string, error) {
	if o.used == nil {
		o.used = map[string]int{}
	}
	if o.used[network]++; o.used[network] > maxServices {
		return "", fault.New(fault.InvalidArgument, "too many servers or databases in one run", "use fewer resources at once")
	}
	return network + strconv.Itoa(o.used[network]), nil
}

// api gives a resource's variables placeholders, which the proxy swaps.
func (o *outfit) api(r vault.Resource, s StandIn) (egress.Resource, error) {
	out, drawn, err := o.swaps(r, s)
	if err != nil {
		return out, err
	}
	return out, o.variables(r, drawn)
}

// swaps draws the placeholders of a resource and says where the proxy may swap them.
func (o *outfit) swaps(r vault.Resource, s StandIn) (egress.Resource, *placeholders, error) {
	out, err := egressResource(r, s.Hosts)
	if err != nil {
		return out, nil, err
	}
	drawn := o.e.standIns(r, s)
	for _, w := range s.Swaps {
		text, err := drawn.get(w.Field + w.Minted)
		if err != nil {
			return out, nil, err
		}
		o.drawn = append(o.drawn, text)
		out.Swaps = append(out.Swaps, egress.Swap{
			Placeholder: text, Header: w.Header, Template: w.Template, Basic: w.Basic, Path: w.Path, Value: o.e.valueOf(o.l.ctx, r, w.Field, w.Minted),
		})
	}
	return out, drawn, nil
}

// egressResource is a resource as the proxy knows it, without any credential.
func egressResource(r vault.Resource, hosts []policy.HostRule) (egress.Resource, error) {
	out := egress.Resource{Handle: r.Handle, ID: r.ID, Rules: hosts, Private: r.Policy.Private}
	if k, err := kind.Get(r.Kind); err == nil {
		out.Mints = k.Mints(r.Attrs, r.Policy) // what a person lifted is for captures: a command would see what it makes
	}
	broken := func(what string) error {
		return fault.New(fault.RecordTampered, "the policy of "+r.Handle+" has a "+what+" that cannot be read", "a person sets it again: zavhoz resource policy "+r.Handle)
	}
	for _, line := range r.Policy.Resolve {
		name, text, _ := strings.Cut(line, "=")
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return out, broken("resolve line")
		}
		if out.Resolve == nil {
			out.Resolve = map[string]netip.Addr{}
		}
		out.Resolve[name] = addr
	}
	if r.Policy.UpstreamCA != "" {
		out.Roots = x509.NewCertPool()
		if !out.Roots.AppendCertsFromPEM([]byte(r.Policy.UpstreamCA)) {
			return out, broken("certificate")
		}
	}
	return out, nil
}

// network opens the proxy, and writes what leads a client to it.
func (o *outfit) network(p *plan, reach []egress.Resource) error {
	through := slices.Clone(p.through)
	for _, u := range p.uses {
		if p.sort == pinnedRun { // it holds values: a tunnel that nobody reads would take them anywhere
			break
		}
		through = append(through, u.Resource.Policy.PassThroughRules()...)
	}
	proxy, err := egress.New(egress.Options{
		RunID: o.l.record.ID, Resources: reach, PassThrough: through, Matcher: func() []*redact.Matcher { return o.l.mask.matchers(o.l.ctx) },
		Counted: o.l.mask.spend, Record: func(e egress.Event) error { o.l.noticed(e); return o.e.noteEgress(o.l, e) }, Log: o.e.o.Log, Life: o.life(),
	})
	if err != nil {
		return err
	}
	o.proxy = proxy
	o.closers = append(o.closers, func() { _ = proxy.Close() })
	o.service("egress", proxyAddr, proxy.Explicit)
	bundle, err := o.trust(proxy.CA())
	if err != nil {
		return err
	}
	o.extra = append(o.extra, egress.Environment("http://"+proxyAddr, bundle)...)
	if !o.box.Named() {
		return nil
	}
	for _, port := range proxy.Ports() {
		o.service(fmt.Sprintf("egress:%d", port), fmt.Sprintf("%s:%d", transparentIP, port), func(l net.Listener) error { return proxy.Transparent(l, port) })
	}
	for _, name := range proxy.Names() {
		o.hosts = append(o.hosts, transparentIP+" "+name)
	}
	o.files = append(o.files, sandbox.File{Path: "/etc/hosts", Mode: 0o444, Data: []byte("127.0.0.1 localhost\n::1 localhost\n" + strings.Join(o.hosts, "\n") + "\n")})
	return nil
}

// trust puts the run's certificates where clients look, and gives the path.
func (o *outfit) trust(ca []byte) (string, error) {
	bundle, err := egress.Bundle(ca)
	if err != nil {
		return "", err
	}
	path := o.box.Home() + "/.zavhoz/ca.pem"
	o.files = append(o.files, sandbox.File{Path: path, Mode: 0o444, Data: bundle})
	if o.box.Named() {
		for _, system := range egress.SystemBundles() {
			o.files = append(o.files, sandbox.File{Path: system, Mode: 0o444, Data: bundle})
		}
	}
	return path, nil
}

// variables fills what the resource's kind fills, with placeholders.
func (o *outfit) variables(r vault.Resource, drawn *placeholders) error {
	for _, v := range o.e.o.Rules.EnvVars(r) {
		value := v.Value
		if v.Field != "" {
			text, ok := drawn.of[v.Field+v.Minted]
			if !ok {
				continue // not swapped anywhere: a placeholder would only mislead
			}
			value = text
		}
		o.items = append(o.items, deliver.Item{Name: v.Name, Handle: r.Handle, Value: secret.FromString(value)})
	}
	return nil
}

// service adds a listener and who serves it.
func (o *outfit) service(name, addr string, serve func(net.Listener) error) {
	o.listen = append(o.listen, sandbox.Listen{Name: name, Addr: addr})
	o.serve[name] = serve
}

// start serves what the box listens on. The listeners end with the box.
func (o *outfit) start(proc *sandbox.Process) {
	o.at.saw(o.e, o.box)
	for name, serve := range o.serve {
		l := proc.Listener(name)
		if l == nil {
			continue
		}
		o.serving.Go(func() {
			if err := serve(l); err != nil && !errors.Is(err, net.ErrClosed) && o.l.ctx.Err() == nil {
				o.e.o.Log.Warn("a service of a run ended early", "run", o.l.record.ID, "service", name, "cause", fault.Cause(err))
			}
		})
		o.closers = append(o.closers, func() { _ = l.Close() })
	}
}

// close ends every service and waits for them.
func (o *outfit) close() {
	for i := len(o.closers) - 1; i >= 0; i-- {
		o.closers[i]()
	}
	o.closers = nil
	o.serving.Wait()
}
