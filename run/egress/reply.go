package egress

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// dropped are headers of a reply that do not reach the command: those of one connection; other ways to the host, which would lead past us; pins of its keys.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Alt-Svc": true, "Public-Key-Pins": true, "Public-Key-Pins-Report-Only": true, "Expect-Ct": true, "Nel": true, "Report-To": true, "Content-Length": true,
}

var (
	refusedEncoding = refuse(http.StatusBadGateway, fault.ReplyUnreadable, "the host compressed its reply in a way that cannot be searched for secrets",
		"ask for it plainly: leave Accept-Encoding out, or send identity")
	refusedSwitch = refuse(http.StatusBadGateway, fault.ReplyUnreadable, "the host wants to speak another protocol, or WebSocket in a compressed form", "ask without Upgrade, and for WebSocket without extensions")
	refusedBlind  = refuse(http.StatusBadGateway, fault.OutputWithheld, "the reply cannot be searched for secrets now, so it is not shown", "start the run again")
)

// clean makes the header of a reply fit to be seen: hop-by-hop fields go, every value is searched, and what the body is packed in must be something that can be
// searched (threat-model.md 37, 42).
func (x *exchange) clean(r *http.Request, g *passage, resp *http.Response) *refusal {
	h := resp.Header
	named := connectionTokens(h)
	for name := range h {
		if dropped[name] || named[name] {
			delete(h, name)
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if !g.websocks || len(h["Sec-Websocket-Extensions"]) > 0 {
			return refusedSwitch
		}
	} else if no := unpack(r, resp); no != nil {
		return no
	}
	if resp.StatusCode == http.StatusPartialContent {
		if g.window == nil {
			return refusedRange
		}
		var no *refusal
		if x.trim, no = g.window.narrow(resp); no != nil {
			return no
		}
		x.event.Status = resp.StatusCode
	}
	n, err := x.maskHeader(h)
	if err == nil { // names only: they are announced before the trailers come
		var more int
		more, err = x.maskHeader(resp.Trailer)
		n += more
	}
	switch {
	case err != nil:
		return refusedBlind
	case !x.count(n):
		return refusedBudget
	}
	return nil
}

// unpack makes the body plain. Whatever is not plain or gzip is refused, also where a host packs it twice or names it in two headers.
func unpack(r *http.Request, resp *http.Response) *refusal {
	values := resp.Header["Content-Encoding"]
	if len(values) == 0 {
		return nil
	}
	empty := r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified || resp.ContentLength == 0
	encoding := ""
	if len(values) == 1 {
		encoding = strings.ToLower(strings.TrimSpace(values[0]))
	}
	switch {
	case encoding == "identity":
	case empty && encoding != "gzip" && encoding != "x-gzip":
		return nil
	case (encoding != "gzip" && encoding != "x-gzip") || resp.StatusCode == http.StatusPartialContent:
		return refusedEncoding
	case empty:
		resp.ContentLength = -1
	default:
		resp.Body, resp.ContentLength = newGunzip(resp.Body), -1
	}
	delete(resp.Header, "Content-Encoding")
	return nil
}

// joined gathers a header's texts, to search them in one go.
var joined = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maskHeader redacts every value, in place. A name that holds a secret goes with its values: one that was sent in this run in whatever case, another as it is.
func (x *exchange) maskHeader(h http.Header) (int, error) {
	named := x.p.guard.dropNamed(h)
	n, err := maskHeader(x.views, h)
	return named + n, err
}

func maskHeader(views []*redact.SameLength, h http.Header) (int, error) {
	if len(views) == 0 || len(h) == 0 {
		return 0, nil
	}
	all := joined.Get().(*bytes.Buffer)
	defer func() {
		clear(all.Bytes())
		all.Reset()
		joined.Put(all)
	}()
	for name, values := range h {
		_, _ = all.WriteString(name)
		for _, v := range values { // 0 stands in no value: no match spans two
			_ = all.WriteByte(0)
			_, _ = all.WriteString(v)
		}
		_ = all.WriteByte(0)
	}
	dirty := false
	for _, v := range views {
		n, err := v.Find(all.Bytes())
		if err != nil {
			return 0, err
		}
		dirty = dirty || n > 0
	}
	if !dirty {
		return 0, nil
	}
	return maskValues(views, h)
}

func maskValues(views []*redact.SameLength, h http.Header) (total int, err error) {
	for name, values := range h {
		if n, err := mask(views, []byte(name)); err != nil {
			return total, err
		} else if n > 0 {
			total += n
			delete(h, name)
			continue
		}
		for i, v := range values {
			b := []byte(v)
			n, err := mask(views, b)
			if err != nil {
				return total, err
			}
			if total += n; n > 0 {
				values[i] = string(b)
			}
		}
	}
	return total, nil
}

// mask redacts a whole text in place.
func mask(views []*redact.SameLength, text []byte) (total int, err error) {
	for _, v := range views {
		n, err := v.Mask(text)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// trailerOf redacts a reply's trailers, which came after its body.
func (x *exchange) trailerOf(resp *http.Response) (http.Header, error) {
	for name := range resp.Trailer {
		if dropped[name] || !httpguts.ValidTrailerHeader(name) {
			delete(resp.Trailer, name)
		}
	}
	n, err := x.maskHeader(resp.Trailer)
	if err == nil && !x.count(n) {
		err = errCut
	}
	return resp.Trailer, err
}
