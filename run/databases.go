package run

import (
	"context"
	"io"
	"net"
	"strconv"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// fieldURL is where a database's URL is sealed, and attrEnv the variable that gets what stands for it (kind database).
const (
	fieldURL  = "url"
	fronted   = 5432
	pgFront   = "postgres"
	noFrontIs = "no front of this release speaks the protocol of "
)

// database opens a front for the resource, and puts its address in the place of the URL.
func (o *outfit) database(r vault.Resource, s StandIn) error {
	if s.Front != pgFront {
		return fault.New(fault.NotSupported, noFrontIs+r.Handle, "")
	}
	n, err := o.next(databaseNet)
	if err != nil {
		return err
	}
	reach, err := egressResource(r, nil)
	if err != nil {
		return err
	}
	drawn := &placeholders{shape: plainShape, length: func(string) (int, error) { return 32, nil }}
	password, err := drawn.get(fieldURL)
	if err != nil {
		return err
	}
	o.drawn = append(o.drawn, password)
	front, err := postgres.New(postgres.Options{
		Handle: r.Handle, URL: o.e.valueOf(o.l.ctx, r, fieldURL, ""), Placeholder: password, Roots: reach.Roots,
		Dial: reach.Dialer(), Mask: func(dst io.Writer) io.WriteCloser { return o.l.mask.sameLength(o.l.ctx, dst) },
		Record: func(e postgres.Event) error { return o.e.noteDatabase(o.l, r, e) },
	})
	if err != nil {
		return err
	}
	o.closers = append(o.closers, func() { _ = front.Close() })
	addr := net.JoinHostPort(n, strconv.Itoa(fronted))
	o.service("database:"+r.Handle, addr, front.Serve)
	o.fronts = append(o.fronts, front.URL(addr))
	for _, v := range o.e.o.Rules.EnvVars(r) {
		value := v.Value
		if v.Field == fieldURL {
			value = front.URL(addr)
		}
		o.items = append(o.items, deliver.Item{Name: v.Name, Handle: r.Handle, Value: secret.FromString(value)})
	}
	return nil
}

// noteDatabase records what happened at a front.
func (e *Engine) noteDatabase(l *live, r vault.Resource, ev postgres.Event) error {
	out := audit.Allowed
	if ev.Kind == postgres.Denied {
		out = audit.Denied
	}
	return e.note(l, audit.Event{Action: audit.EgressDatabase, Outcome: out, Handle: r.Handle, Code: string(ev.Code), Detail: map[string]string{
		"event": string(ev.Kind), "connection": strconv.FormatUint(ev.Conn, 10), "sent": strconv.FormatInt(ev.Sent, 10), "received": strconv.FormatInt(ev.Received, 10),
	}})
}

// note records an event of a run, in the name of who runs it. Where it fails, what it tells of must not happen.
func (e *Engine) note(l *live, ev audit.Event) error {
	if e.o.Note == nil {
		return nil
	}
	ev.Actor, ev.Subject = l.record.Actor, l.record.ID
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	return e.o.Note(ctx, ev)
}
