package egress

import (
	"context"
	"net"
	"strconv"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// Dialer gives how the resource's hosts are dialled, for fronts that speak another protocol than HTTP: the same look at every address, names resolved once for
// as long as it is kept. An address of a host that it has dialled may be dialled again by itself (a query is cancelled at the server that runs it).
func (r Resource) Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	way := &route{private: r.Private, resolve: cloneResolve(r.Resolve), lookup: systemLookup}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, text, err := net.SplitHostPort(addr)
		if err != nil || network != "tcp" {
			return nil, errAddress
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil, errAddress
		}
		if host, err = policy.CanonicalHost(host); err != nil {
			return nil, errAddress
		}
		return way.dial(ctx, host, int(port))
	}
}
