package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	refusedAuthority = refuse(http.StatusMisdirectedRequest, fault.RequestNotAllowed, "the request names another host than its connection was opened for",
		"open a connection to the host that you mean, and let the client write the Host header")
	refusedForm     = refuse(http.StatusBadRequest, fault.RequestNotAllowed, "the request names a whole address, or none, where a path is expected", "let the client write the path alone")
	refusedInternal = refuse(http.StatusInternalServerError, fault.Internal, "something went wrong inside zavhoz", "a person looks: zavhoz doctor")
)

// serve answers one request of the command inside an intercepted connection.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		refusedClosed.serve(w)
		return
	}
	defer p.leave()
	c, ok := r.Context().Value(connKey{}).(*entryConn)
	if !ok || r.TLS == nil {
		refusedInternal.serve(w)
		return
	}
	x := p.begin(c.target, r.Method)
	defer x.contain(w)
	no := misdirected(c.target, r)
	if n := p.asked.Add(1); no == nil && n > maxRequests {
		no = refusedFull
	}
	defer p.asked.Add(-1)
	if no != nil {
		x.refused(no, Denied).serve(w)
		return
	}
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex() // a host may answer before it has read everything
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.flow, cancel)()
	g, resp, no := x.send(ctx, r, false, nil)
	if no != nil {
		no.serveLast(w, r)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.upgrade(w, resp)
		return
	}
	x.answer(w, r, g, resp)
}

// contain ends an exchange whatever happened. A panic is a defect or the wish to break the connection off: neither may end the daemon, print what it
// holds, or leave the request without record.
func (x *exchange) contain(w http.ResponseWriter) {
	bad := recover()
	if bad == nil && x.done {
		return
	}
	if x.event.Status == 0 {
		x.event.Status = http.StatusInternalServerError
	}
	_ = x.finish(Failed, fault.Internal)
	if bad != nil && bad != http.ErrAbortHandler {
		x.p.panicked("request", bad)
	}
	panic(http.ErrAbortHandler)
}

// contained runs f, which reads what a peer sends, where nothing above would stop a panic: a defect there ends what f was for (by cut), not the daemon with every
// run. What a panic says may hold what the peer sent, so its type alone is logged. False where there was one.
func (p *Proxy) contained(what string, cut, f func()) (whole bool) {
	defer func() {
		if bad := recover(); bad != nil {
			whole = false
			p.panicked(what, bad)
			cut()
		}
	}()
	f()
	return true
}

func (p *Proxy) panicked(what string, bad any) {
	p.log.Error("a part of a run's way out ended in a panic", "run", p.o.RunID, "part", what, "type", fmt.Sprintf("%T", bad))
}

// answer gives the reply to the command.
func (x *exchange) answer(w http.ResponseWriter, r *http.Request, _ *passage, resp *http.Response) {
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	if resp.ContentLength >= 0 && resp.StatusCode != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.FormatInt(resp.ContentLength, 10)}
	}
	if _, ok := h["Date"]; !ok {
		h["Date"] = nil // as the host left it out
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // else the library guesses
	}
	for name := range resp.Trailer {
		if !dropped[name] {
			h.Add("Trailer", name)
		}
	}
	if r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		if x.finish(Allowed, "") != nil { // the header is all of it, and is not shown unless it is on record
			refusedRecord.serve(w)
			return
		}
		w.WriteHeader(resp.StatusCode)
		return
	}
	w.WriteHeader(resp.StatusCode)
	flush := flusher(w)
	if resp.ContentLength < 0 || resp.ContentLength > chunk {
		_ = flush() // a stream begins now, though its first byte may come late
	}
	err := x.relay(w, flush, resp.Body, resp.ContentLength)
	if err == nil {
		err = x.trailers(h, resp)
	}
	if err != nil {
		_ = x.finish(Failed, x.broken())
		panic(http.ErrAbortHandler) // the command must see that the reply is not whole
	}
	if x.finish(Allowed, "") != nil {
		panic(http.ErrAbortHandler)
	}
}

// broken is the code of a reply that ended in the middle.
func (x *exchange) broken() fault.Code {
	if why := x.p.halted.Load(); why != nil {
		return why.err.Code
	}
	return fault.ConnectionFailed
}

func (x *exchange) trailers(h http.Header, resp *http.Response) error {
	if len(resp.Trailer) == 0 {
		return nil
	}
	announced := len(h["Trailer"])
	t, err := x.trailerOf(resp)
	if err != nil {
		return err
	}
	for name, values := range t {
		if len(values) == 0 { // announced and not sent
			continue
		}
		if announced == len(t) {
			h[name] = values
		} else {
			h[http.TrailerPrefix+name] = values
		}
	}
	return nil
}

// misdirected holds a request to the connection that it came on: the name of the TLS handshake, that of the CONNECT and that of the request are one (threat-model.md
// 36). All are compared in canonical form.
func misdirected(t target, r *http.Request) *refusal {
	if !strings.HasPrefix(r.RequestURI, "/") || strings.HasPrefix(r.RequestURI, "//") {
		return refusedForm
	}
	if !t.namedBy(r.TLS.ServerName) || !t.is(r.Host) {
		return refusedAuthority
	}
	for _, v := range r.Header["Host"] { // HTTP/2 may carry both
		if !t.is(v) {
			return refusedAuthority
		}
	}
	return nil
}

// namedBy tells whether a TLS server name means the target. An address is never named there.
func (t target) namedBy(sni string) bool {
	if _, err := netip.ParseAddr(t.host); err == nil {
		return sni == ""
	}
	h, err := policy.CanonicalHost(sni)
	return err == nil && h == t.host
}

// is tells whether an authority means the target.
func (t target) is(authority string) bool {
	if authority == t.host && t.port == 443 {
		return true
	}
	o, err := parseTarget(authority, 443)
	return err == nil && o == t
}

// parseTarget reads host, host:port, [v6] or [v6]:port; port 0 as a default demands one.
func parseTarget(s string, port int) (target, error) {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		h, text, err := net.SplitHostPort(s)
		if err != nil {
			return target{}, errAddress
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != text {
			return target{}, errAddress
		}
		if host, port = h, n; strings.IndexByte(h, ':') >= 0 {
			host = "[" + h + "]"
		}
	}
	h, err := policy.CanonicalHost(host)
	if err != nil || port == 0 {
		return target{}, errAddress
	}
	return target{h, port}, nil
}
