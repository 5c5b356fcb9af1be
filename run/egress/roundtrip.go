package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// RoundTrip makes one request for the broker itself: to an absolute https address, with the credential of the resource of that handle put in by its first Swap,
// under the same rules, redaction and records as a command's requests. capture says that the caller takes new secrets out of the reply: only then are endpoints
// that make some allowed. Errors are faults. The record is written when the body is closed: close it.
func (p *Proxy) RoundTrip(ctx context.Context, handle string, r *http.Request, capture bool) (*http.Response, error) {
	i := slices.IndexFunc(p.resources, func(x *resource) bool { return x.Handle == handle })
	if i < 0 {
		return nil, fault.New(fault.UnknownResource, "the run has no such resource", "use a handle that the run was given")
	}
	if !p.enter() {
		return nil, refusedClosed.err
	}
	resp, err := p.roundTrip(ctx, p.resources[i], r, capture)
	if err != nil {
		p.leave()
	}
	return resp, err
}

func (p *Proxy) roundTrip(ctx context.Context, of *resource, r *http.Request, capture bool) (*http.Response, error) {
	t, no := targetOf(r)
	x := p.begin(t, r.Method)
	if no != nil {
		return nil, x.refused(no, Denied).err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.flow, cancel)
	end := func() { stop(); cancel() }
	in := r.Clone(ctx)
	if in.ProtoMajor = 2; in.Header == nil {
		in.Header = http.Header{}
	}
	if in.RequestURI = r.URL.EscapedPath(); in.RequestURI == "" {
		in.RequestURI = "/"
	}
	if no := of.prefix(in); no != nil {
		end()
		return nil, x.refused(no, Denied).err
	}
	if r.URL.RawQuery != "" {
		in.RequestURI += "?" + r.URL.RawQuery
	}
	_, resp, no := x.send(ctx, in, capture, func(g *passage) *refusal { return of.supply(g, t, in, capture) })
	if no != nil {
		end()
		return nil, no.err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		end()
		return nil, x.refused(refusedSwitch, Failed).err
	}
	resp.Body = x.readable(resp, end)
	resp.Request = r
	return resp, nil
}

// targetOf reads whom a request of the broker means.
func targetOf(r *http.Request) (target, *refusal) {
	if r.URL == nil || r.URL.Scheme != "https" || r.URL.User != nil || r.URL.Opaque != "" {
		return target{}, refusedHTTP
	}
	t, err := parseTarget(r.URL.Host, 443)
	if err != nil || r.Host != "" && !t.is(r.Host) {
		return target{}, refusedAuthority
	}
	return t, nil
}

// prefix writes a path that lacks the credential's segment as the kind wants it: "/getMe" becomes "/bot…/getMe".
func (r *resource) prefix(in *http.Request) *refusal {
	if len(r.slots) == 0 {
		return refuse(http.StatusForbidden, fault.DeliveryRefused, "nothing says where the value of "+r.Handle+" goes in a request", "use it in a pinned command")
	}
	s := r.slots[0]
	if s.header != "" {
		if len(in.Header.Values(s.header)) > 0 {
			return refuse(http.StatusBadRequest, fault.StandInMisplaced, "the header that carries the credential of "+r.Handle+" is put in by zavhoz", "leave "+s.header+" out")
		}
		return nil
	}
	normal, err := policy.NormalPath(in.RequestURI)
	if err != nil {
		return refusedAmbiguous
	}
	if slices.ContainsFunc(r.slots, func(s *slot) bool { return s.inPath(normal) }) {
		return nil
	}
	segments := append(slices.Clone(s.before), escapeSegment(s.head+s.placeholder+s.tail))
	in.RequestURI = "/" + strings.Join(segments, "/") + in.RequestURI
	return nil
}

// supply lets the credential go along although no placeholder is there. The rules asked are those of this resource alone.
func (r *resource) supply(g *passage, t target, in *http.Request, capture bool) *refusal {
	for _, f := range g.fills {
		if f.of != r {
			return refuse(http.StatusBadRequest, fault.StandInMisplaced, "the request carries the stand-in of "+f.of.Handle, "leave it out: zavhoz puts the credential in")
		}
	}
	normal, err := policy.NormalPath(g.raw)
	if err != nil {
		return refusedAmbiguous
	}
	if no := r.admit(t, in.Method, g.raw, normal, capture); no != nil {
		return no
	}
	if len(g.fills) == 0 {
		s := r.slots[0]
		if s.other == open {
			return refuse(http.StatusForbidden, fault.DeliveryRefused, "nothing says what stands beside the value of "+r.Handle, "use it in a command")
		}
		g.fills = []fill{{slot: s, of: r, other: s.other}}
	}
	g.via, g.handles = r, r.Handle
	return nil
}

// readable gives the body of a reply, searched; the exchange ends with its Close.
func (x *exchange) readable(resp *http.Response, end func()) io.ReadCloser {
	pr, pw := io.Pipe()
	body := resp.Body
	done := make(chan struct{})
	unblock := context.AfterFunc(x.p.flow, func() { _ = pr.CloseWithError(errCut) }) // a caller who does not read must not hold Close up
	go func() {
		defer close(done)
		defer x.p.leave()
		defer end()
		defer unblock()
		var err error
		decision, code := Allowed, fault.Code("")
		whole := x.p.contained("reply", func() {}, func() {
			if err = x.relay(pw, nil, body, resp.ContentLength); err == nil {
				_, err = x.trailerOf(resp)
			}
		})
		_ = body.Close()
		if !whole {
			err, decision, code = errCut, Failed, fault.Internal
		} else if err != nil && !errors.Is(err, io.ErrClosedPipe) { // a caller who has read enough is no failure
			decision, code = Failed, x.broken()
		}
		if x.finish(decision, code) != nil && err == nil {
			err = refusedRecord.err
		}
		_ = pw.CloseWithError(err)
	}()
	return &searched{pr, func() { end(); <-done }}
}

// searched is a redacted body.
type searched struct {
	*io.PipeReader
	wait func()
}

// Close ends the exchange and waits until it is recorded.
func (s *searched) Close() error {
	err := s.PipeReader.Close()
	s.wait()
	return err
}
