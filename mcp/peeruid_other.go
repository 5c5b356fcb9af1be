//go:build !linux && !darwin

package mcp

import (
	"errors"
	"net"
)

// PeerUID tells which user is at the other end of a unix socket. This system has no way to ask: the socket's folder must keep others out.
func PeerUID(net.Conn) (int, error) { return -1, errors.ErrUnsupported }
