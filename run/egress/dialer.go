package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Dialer gives how the resource's hosts are dialled, for fronts that speak another protocol than HTTP: the same look at every address, names resolved once for
// as long as it is kept. An address of a host that it has dialled may be dialled again by itself (a query is cancelled at the server that runs it). One that may
// not be dialled is not_permitted, in a sentence that does not name it.
func (r Resource) Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	way := &route{private: r.Private, resolve: cloneResolve(r.Resolve), lookup: systemLookup}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, text, err := net.SplitHostPort(addr)
		if err != nil || network != "tcp" {
			return nil, notPermitted(errAddress)
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil, notPermitted(errAddress)
		}
		if host, err = policy.CanonicalHost(host); err != nil {
			return nil, notPermitted(errAddress)
		}
		c, err := way.dial(ctx, way.nameOf(host), int(port))
		if errors.Is(err, errAddress) || errors.Is(err, errNoAddress) {
			return nil, notPermitted(err)
		}
		return c, err
	}
}

// nameOf gives the name that the operator resolves to the address host, else host: by itself the address need not be one that may be dialled.
func (r *route) nameOf(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		for name, a := range r.resolve {
			if a == ip {
				return name
			}
		}
	}
	return host
}

func notPermitted(cause error) error {
	return fault.New(fault.NotPermitted, "the resource's policy does not allow the address",
		"a person may allow private ones: zavhoz resource policy HANDLE --allow-private").Because(cause)
}
