package mcp

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// ListenPolicy tells whether the HTTP door may listen on addr: on loopback always; elsewhere only with TLS, or behind a named proxy that ends
// TLS for an https public URL. A bearer token in clear text on a network is a token given away.
func ListenPolicy(addr string, tls bool, trustedProxy []netip.Prefix, publicURL string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fault.New(fault.InvalidArgument, "a listen address is HOST:PORT", "for example --listen 127.0.0.1:7878")
	}
	if loopbackName(host) || tls {
		return nil
	}
	u, err := url.Parse(publicURL)
	if len(trustedProxy) > 0 && err == nil && u.Scheme == "https" && u.Host != "" {
		return nil
	}
	return fault.New(fault.NotPermitted, "off loopback this door needs TLS",
		"set http.tls_cert and http.tls_key in config.yaml, or http.trusted_proxy with an https http.public_url, or listen on 127.0.0.1")
}

// loopbackName tells whether a host name can only mean this machine. Names that merely resolve to loopback do not count: their owner can
// make them mean anything (threat-model.md 53).
func loopbackName(host string) bool {
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// via says where a request truly came from: behind the trusted proxy that is what the proxy says, from anyone else the connection's own peer.
func (h *HTTP) via(r *http.Request) (client netip.Addr, safe bool) {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	peer := ap.Addr().Unmap()
	if !h.trusted(peer) {
		return peer, r.TLS != nil || peer.IsLoopback()
	}
	// The proxy appends to X-Forwarded-For: the last address that is not a proxy's is the client.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	client = peer
	for i := len(hops) - 1; i >= 0; i-- {
		ip, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = ip.Unmap()
		if !h.trusted(client) {
			break
		}
	}
	proto := r.Header.Values("X-Forwarded-Proto")
	return client, r.TLS != nil || len(proto) == 1 && proto[0] == "https" || len(proto) == 0 && client.IsLoopback()
}

func (h *HTTP) trusted(ip netip.Addr) bool {
	for _, p := range h.TrustedProxy {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
