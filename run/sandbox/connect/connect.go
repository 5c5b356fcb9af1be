// Package connect answers connect(2) for a command that has no network namespace: level basic.
//
// Promise: a connection of the command ends at a virtual listener of this process or nowhere. The command's own address, which another of its
// threads may change meanwhile, decides only by the copy that was read; the connection itself is made by this process, to itself.
//
// Attacks stopped (threat-model.md): a connection to anybody else's address (8).
package connect

import (
	"errors"
	"net/netip"
)

// Options say where connections go.
type Options struct {
	// Route names the virtual listener for an address that the command connects to (an IPv4 one is never in its IPv6 form); "" refuses. It
	// is called by many goroutines at once.
	Route func(netip.AddrPort) string
}

// The sentinels of this package.
var (
	ErrUnsupported = errors.New("connect: only Linux has seccomp notifications")
)
