package egress

import "net/netip"

// AllowLoopback lets tunnels of a test reach this machine.
func AllowLoopback(p *Proxy) { p.through.private = true }

// Dialable is dialable.
func Dialable(a netip.Addr, private bool) bool { return dialable(a, private) }
