package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	dialTimeout   = 15 * time.Second // for all addresses of a host together
	dialStagger   = 250 * time.Millisecond
	lookupTimeout = 10 * time.Second
	maxAddrs      = 8 // of a host that are tried
)

// The ways in which a dial is refused. None holds a name or an address.
var (
	errAddress   = errors.New("egress: the address is not one that may be dialled")
	errNoAddress = errors.New("egress: the name has no address that may be dialled")
)

// route is how one resource's hosts are dialled.
type route struct {
	private bool
	resolve map[string]netip.Addr
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)

	mu   sync.Mutex
	pins map[string][]netip.Addr
}

// dial connects to host:port. The name is resolved here, once: the addresses are checked, kept for the run and dialled as they are, so that a name that answers
// differently the second time changes nothing (threat-model.md 45). The socket's own address is checked again in the moment of its connect.
func (r *route) dial(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, exact, err := r.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	c, err := race(ctx, addrs, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		d := net.Dialer{KeepAlive: 30 * time.Second, ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return r.permit(network, address, exact)
		}}
		return d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
	})
	if err != nil {
		r.forget(host)
	}
	return c, err
}

// permit looks at what is about to be connected to.
func (r *route) permit(network, address string, exact bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return errAddress
	}
	if exact { // the operator wrote this very address
		for _, a := range r.resolve {
			if a == ap.Addr() {
				return nil
			}
		}
		return errAddress
	}
	if !dialable(ap.Addr(), r.private) {
		return errAddress
	}
	return nil
}

// addresses gives what may be dialled for a host; exact says that the operator gave it.
func (r *route) addresses(ctx context.Context, host string) (addrs []netip.Addr, exact bool, err error) {
	if a, ok := r.resolve[host]; ok {
		return []netip.Addr{a}, true, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, false, nil
	}
	r.mu.Lock()
	pinned := r.pins[host]
	r.mu.Unlock()
	if len(pinned) > 0 {
		return pinned, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.lookup(ctx, host)
	if err != nil {
		return nil, false, err
	}
	for _, a := range found {
		if a = a.Unmap(); dialable(a, r.private) && len(addrs) < maxAddrs {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, false, errNoAddress
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pins == nil {
		r.pins = map[string][]netip.Addr{}
	}
	if len(r.pins) >= maxLeaves {
		clear(r.pins)
	}
	r.pins[host] = addrs
	return addrs, false, nil
}

// forget makes the next dial resolve anew: a host that moved is found again.
func (r *route) forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pins, host)
}

// sameFor tells whether both lead to a host in the same way: then a request may carry the credentials of both their resources.
func (r *route) sameFor(o *route, host string) bool {
	a, isA := r.resolve[host]
	b, isB := o.resolve[host]
	return isA == isB && a == b && (isA || r.private == o.private)
}

// race dials addrs one after the other, the next when one fails or takes long, and gives the first connection.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	var running sync.WaitGroup
	defer running.Wait() // losers are cancelled, and end at once
	defer cancel()
	next, failures := 0, []error(nil)
	start := func() {
		a := addrs[next]
		next++
		running.Go(func() {
			c, err := dial(ctx, a)
			select {
			case results <- result{c, err}:
			case <-ctx.Done():
				if c != nil {
					_ = c.Close()
				}
			}
		})
	}
	start()
	stagger := time.NewTicker(dialStagger)
	defer stagger.Stop()
	for {
		select {
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			failures = append(failures, r.err)
			if len(failures) == len(addrs) {
				return nil, errors.Join(failures...)
			}
			if next < len(addrs) {
				start()
			}
		case <-stagger.C:
			if next < len(addrs) {
				start()
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// systemLookup asks the system's resolver, which orders what it finds.
func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
