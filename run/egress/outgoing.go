package egress

import (
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// hop are headers that speak of one connection; the next one has its own. Those that Connection names go too.
var hop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Authentication-Info": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Http2-Settings": true, "Host": true, "Sec-Websocket-Extensions": true, "Accept-Encoding": true, "Content-Length": true,
}

// outgoing writes the request anew for the host, with the values in their places (threat-model.md 44). Nothing of the parsed request goes over but the method, the
// path and query as written, end-to-end headers, the body and its trailers.
func (p *Proxy) outgoing(ctx context.Context, r *http.Request, t target, g *passage, body io.ReadCloser) (*http.Request, *refusal) {
	h := make(http.Header, len(r.Header)+2)
	named := connectionTokens(r.Header)
	for name, values := range r.Header {
		if !hop[name] && !named[name] {
			h[name] = values
		}
	}
	h["Accept-Encoding"] = acceptEncoding(r.Header)
	if asked := h["Range"]; asked != nil {
		delete(h, "Range")
		if g.window, asked = widen(asked); g.window != nil && r.Method != http.MethodHead {
			h["Range"] = asked
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // else the library writes its own
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if g.websocks = isWebSocket(r); g.websocks {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if r.ContentLength == 0 { // else the library takes it for a body of unknown length, and sends chunks
		body = http.NoBody
	}
	var trailer http.Header
	if r.ContentLength != 0 {
		if trailer = p.announced(r.Trailer, named); trailer != nil {
			body = trailedBody{body, trailer, r}
		}
	}
	path := g.raw
	for _, f := range g.fills {
		var refused *refusal
		if path, refused = p.fill(f, t, r.Method, path, h); refused != nil {
			return nil, refused
		}
	}
	out := &http.Request{
		Method: r.Method, URL: &url.URL{Scheme: "https", Host: t.authority(), Opaque: path}, Host: t.authority(), Header: h, Trailer: trailer,
		ContentLength: r.ContentLength, Body: body, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(g.query) > 0 {
		out.URL.RawQuery, out.URL.ForceQuery = g.query[1:], len(g.query) == 1
	}
	return out.WithContext(ctx), nil
}

// fill puts one value in. After the path changed it is asked about again: what goes out is what was compared.
func (p *Proxy) fill(f fill, t target, method, path string, h http.Header) (string, *refusal) {
	bad := func(err error) *refusal {
		e := fault.Of(err)
		if e.Code == fault.Internal {
			e = fault.New(fault.SecretInvalid, f.of.Handle+": its value cannot stand in the place where it belongs", "a person gives another: zavhoz resource edit "+f.of.Handle)
		}
		return &refusal{e.Code.Of().HTTP, e}
	}
	value, err := f.slot.value()
	if err != nil {
		return "", bad(err)
	}
	p.guard.learn(value, f.slot.placeholder)
	if f.slot.header != "" {
		text, err := f.slot.fill(f.other, value)
		if err != nil {
			return "", bad(err)
		}
		h[f.slot.header] = []string{text}
		return path, nil
	}
	filled, err := f.slot.fillPath(path, value)
	if err != nil {
		return "", bad(err)
	}
	if d := policy.MatchRequest(f.of.Rules, method, t.host, t.port, filled); !d.Allowed {
		return "", bad(errValue)
	}
	return filled, nil
}

// authority is the host as requests name it.
func (t target) authority() string {
	host := t.host
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	if t.port == 443 {
		return host
	}
	return host + ":" + strconv.Itoa(t.port)
}

// connectionTokens gives the canonical names that Connection lists; nil for none.
func connectionTokens(h http.Header) map[string]bool {
	var m map[string]bool
	for _, v := range h["Connection"] {
		if v == "close" || v == "keep-alive" {
			continue
		}
		for token := range strings.SplitSeq(v, ",") {
			if m == nil {
				m = map[string]bool{}
			}
			m[textproto.CanonicalMIMEHeaderKey(textproto.TrimString(token))] = true
		}
	}
	return m
}

var (
	acceptGzip     = []string{"gzip"}
	acceptIdentity = []string{"identity"}
)

// acceptEncoding asks for what can be searched. A range is of the bytes as they are stored, so it is asked for plainly.
func acceptEncoding(h http.Header) []string {
	if len(h["Range"]) == 0 {
		for _, v := range h["Accept-Encoding"] {
			if strings.Contains(v, "gzip") && !strings.Contains(v, "gzip;q=0") {
				return acceptGzip
			}
		}
	}
	return acceptIdentity
}

// isWebSocket tells whether the request asks to become a WebSocket. Any other upgrade is not passed on, and the request stays a request.
func isWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}

// countedBody counts what is read of a request's body.
type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}
