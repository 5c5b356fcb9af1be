package egress

import (
	"context"
	"net"
	"net/http"
)

// Proxy is the way out of one run. Close it.
type Proxy struct{ o Options }

// New makes the proxy and the run's authority.
func New(o Options) (*Proxy, error) {
	if o.Record == nil {
		return nil, errNoRecord
	}
	return &Proxy{o: o}, nil
}

// CA is the run's certificate authority, in PEM.
func (p *Proxy) CA() []byte { return nil }

// Names are the exact names of allowed hosts, for the run's hosts file: each leads to the transparent listeners.
func (p *Proxy) Names() []string { return nil }

// Ports are those that transparent listeners are wanted for.
func (p *Proxy) Ports() []int { return nil }

// Explicit serves clients that were told of a proxy (CONNECT), until the listener or the proxy is closed.
func (p *Proxy) Explicit(l net.Listener) error { return errClosed }

// Transparent serves clients that were led here by name; port is the one that they believe to talk to.
func (p *Proxy) Transparent(l net.Listener, port int) error { return errClosed }

// RoundTrip makes one request for the broker itself, with the resource's credential, under the same rules. capture says that the caller takes new secrets out
// of the reply: only then are endpoints that make some allowed.
func (p *Proxy) RoundTrip(ctx context.Context, handle string, r *http.Request, capture bool) (*http.Response, error) {
	return nil, errClosed
}

// Close ends every connection and waits until the last event is recorded.
func (p *Proxy) Close() error { return nil }
