package egress

import (
	"io"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// announced gives the trailers of a request that go to the host: those that its header announced, for only they were looked at before it went out, and of those none
// that a host could take for a header that steers it, names a login or frames the body (RFC 9110 §6.5.1). nil for none.
func (p *Proxy) announced(trailer http.Header, named map[string]bool) http.Header {
	var out http.Header
	for name := range trailer {
		if hop[name] || named[name] || name == "Cookie" || name == "Forwarded" || !httpguts.ValidTrailerHeader(name) || p.carries(name) {
			continue
		}
		if out == nil {
			out = http.Header{}
		}
		out[name] = nil
	}
	return out
}

// carries tells whether some resource's credential travels in the header of that name.
func (p *Proxy) carries(name string) bool {
	for _, of := range p.resources {
		for _, s := range of.slots {
			if s.header == name {
				return true
			}
		}
	}
	return false
}

// trailedBody fills in the trailers to send when the body has ended. The library puts whatever came into those of the request that was read, announced or not.
type trailedBody struct {
	io.ReadCloser
	trailer http.Header
	from    *http.Request
}

func (b trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.trailer {
			b.trailer[name] = b.from.Trailer[name]
		}
	}
	return n, err
}
