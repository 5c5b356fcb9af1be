package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// sessions are TLS sessions with hosts that the system's roots vouch for. A session is resumed without looking at roots again, so hosts of a resource with roots of
// its own are never in here.
var sessions = tls.NewLRUClientSessionCache(256)

const (
	maxReplyHeader = 256 << 10 // bytes
	idlePerHost    = 128       // connections that are kept for a host
	idleTimeout    = 90 * time.Second
	handshakeLimit = 15 * time.Second
	continueWait   = time.Second // for a host's 100 Continue, before the body is sent anyway
)

// newTransport makes the connections of one resource in one run.
func newTransport(r *resource, h2 bool) *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.Roots, ClientSessionCache: sessions}
	if r.Roots != nil {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, errAddress
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				return nil, errAddress
			}
			return r.route.dial(ctx, host, n)
		},
		TLSClientConfig: config, TLSHandshakeTimeout: handshakeLimit, DisableCompression: true, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTimeout,
		ExpectContinueTimeout: continueWait, MaxResponseHeaderBytes: maxReplyHeader, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10,
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(h2)
	t.Protocols = p
	return t
}

// transport speaks to the host what the command spoke to us: HTTP/2 has its own ways with many requests at once, and gRPC needs it.
func (r *resource) transport(major int) *http.Transport {
	if major >= 2 {
		return r.h2
	}
	return r.h1
}

// explain turns a failed round trip into an answer. The error itself may hold names and addresses, and goes nowhere.
func (p *Proxy) explain(g *passage, t target, err error) *refusal {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.Is(err, errAddress), errors.Is(err, errNoAddress):
		return refuse(http.StatusForbidden, fault.HostNotAllowed, g.via.Handle+": the host's address is not a public one, and the policy allows no other",
			"a person can allow it: zavhoz resource policy "+g.via.Handle+" --allow-private")
	case errors.As(err, &cert):
		g.via.route.forget(t.host)
		return refuseUpstream(http.StatusBadGateway, fault.ConnectionFailed, "the host shows a certificate that is not to be trusted, so nothing was sent")
	case errors.As(err, &dns):
		return refuseUpstream(http.StatusBadGateway, fault.ConnectionFailed, "the host's name could not be resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return refuseUpstream(http.StatusBadGateway, fault.ConnectionFailed, "the host refuses connections")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return refuseUpstream(http.StatusGatewayTimeout, fault.TimedOut, "the host did not answer in time")
	default:
		return refuseUpstream(http.StatusBadGateway, fault.ConnectionFailed, "the connection to the host failed before it answered")
	}
}
