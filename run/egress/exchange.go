package egress

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// exchange is one request and what becomes of it.
type exchange struct {
	p     *Proxy
	t     target
	event Event
	views []*redact.SameLength
	trim  *trim        // of a partial reply; nil: all of the body is wanted
	sent  *standInScan // of the request's body; nil: it has none
	other atomic.Bool  // the body names another method: it was cut
	up    atomic.Int64
	done  bool
}

func (p *Proxy) begin(t target, method string) *exchange {
	now := p.o.Now()
	return &exchange{p: p, t: t, event: Event{Time: now, RunID: p.o.RunID, Method: bounded(method, maxMethod), Host: t.host, Port: t.port}}
}

// Bounds of what a record holds of a request, in bytes.
const (
	maxMethod = 16
	maxPath   = 256
)

func bounded(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// opened records that a tunnel or a WebSocket begins, with no byte of it yet: it may last for days, and would be on record at its end only.
func (x *exchange) opened(decision Decision) error {
	e := x.event
	e.Decision, e.Up, e.Down = decision, 0, 0
	e.Duration = x.p.o.Now().Sub(e.Time)
	return x.p.write(e)
}

// finish records the exchange, once. Where that fails nothing goes out any more (docs/design.md §11).
func (x *exchange) finish(decision Decision, code fault.Code) error {
	if x.done {
		return nil
	}
	x.done = true
	if x.other.Load() && decision != Denied { // the host answered before it had it all
		decision, code = Denied, refusedOverride.err.Code
	}
	x.event.Hint = x.hint()
	x.event.Decision, x.event.Code = decision, code
	x.event.Up += x.up.Load()
	x.event.Duration = x.p.o.Now().Sub(x.event.Time)
	return x.p.write(x.event)
}

// write hands one event to the record, in order.
func (p *Proxy) write(e Event) error {
	if e.Duration < 0 {
		e.Duration = 0
	}
	p.record.Lock()
	err := p.o.Record(e)
	p.record.Unlock()
	if err != nil {
		p.halt(refusedRecord)
	}
	return err
}

// refused records a refusal and gives the answer that holds: another one where it cannot be recorded.
func (x *exchange) refused(r *refusal, decision Decision) *refusal {
	x.event.Status = r.status
	if x.finish(decision, r.err.Code) != nil {
		return refusedRecord
	}
	return r
}

// send lets the request through to the host. The reply's header is redacted, its body is not yet.
func (x *exchange) send(ctx context.Context, r *http.Request, capture bool, fills func(*passage) *refusal) (*passage, *http.Response, *refusal) {
	p := x.p
	if why := p.halted.Load(); why != nil {
		return nil, nil, x.refused(why, Denied)
	}
	g, no := p.decide(x.t, r.Method, r.RequestURI, r.Header, r.Trailer, capture)
	if no == nil && fills != nil {
		no = fills(g)
	}
	if no != nil {
		return nil, nil, x.refused(no, Denied)
	}
	x.event.Resource, x.event.Credential = g.handles, len(g.fills) > 0
	body, no := x.body(r, g)
	if no != nil {
		return nil, nil, x.refused(no, Denied)
	}
	out, no := p.outgoing(ctx, r, x.t, g, body)
	x.views = p.guard.current()
	x.event.Path = x.path(g.shown)
	if no != nil {
		return nil, nil, x.refused(no, Failed)
	}
	resp, err := g.via.transport(r.ProtoMajor).RoundTrip(out)
	if err != nil {
		if x.other.Load() {
			return nil, nil, x.refused(refusedOverride, Denied)
		}
		if ctx.Err() != nil && p.halted.Load() == nil {
			return nil, nil, x.refused(refusedClosed, Failed)
		}
		return nil, nil, x.refused(p.explain(g, x.t, err), Failed)
	}
	x.event.Status = resp.StatusCode
	if no = x.clean(r, g, resp); no != nil {
		_ = resp.Body.Close()
		return nil, nil, x.refused(no, Failed)
	}
	return g, resp, nil
}

// body gives the request's body as it goes out: counted, and looked through for stand-ins and, where methods matter, for a form that names another.
func (x *exchange) body(r *http.Request, g *passage) (io.ReadCloser, *refusal) {
	body := r.Body
	if body == nil || body == http.NoBody || r.ContentLength == 0 {
		return body, nil
	}
	x.sent = newStandInScan(countedBody{body, &x.up}, x.p.marks)
	body = x.sent
	byMethod := g.via.byMethod(x.t)
	for _, f := range g.fills {
		byMethod = byMethod || f.of.byMethod(x.t)
	}
	if !byMethod {
		return body, nil
	}
	scan, packed := scanOf(r.Header)
	switch {
	case packed:
		return nil, refusedFormPacked
	case scan != nil:
		body = &formBody{body, scan, &x.other}
	}
	return body, nil
}

// path is what the record holds of a path: searched like a reply, then cut.
func (x *exchange) path(shown string) string {
	for _, v := range x.views {
		if n, err := v.Find([]byte(shown)); n > 0 || err != nil {
			b := []byte(shown)
			if _, err := v.Mask(b); err != nil {
				return ""
			}
			shown = string(b)
		}
	}
	return bounded(shown, maxPath)
}

// count tells the caller of matches. Beyond the run's budget nothing goes out any more (threat-model.md 60).
func (x *exchange) count(n int) bool {
	if n == 0 {
		return true
	}
	x.event.Redactions += n
	if x.p.o.Counted != nil && x.p.o.Counted(n) != nil {
		x.p.halt(refusedBudget)
		return false
	}
	return true
}
