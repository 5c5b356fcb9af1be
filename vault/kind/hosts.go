package kind

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	errHostName   = errors.New("a host is a name such as vps1.example.org, or an IPv4 or IPv6 address: without a scheme, a user, a port or a path")
	errHostPort   = errors.New("the host has a port or is several; the port has a field of its own")
	errHostUser   = errors.New("the host has a user before it; the user has a field of its own")
	errHostScheme = errors.New("the host is written as a URL; give the name or address alone")
	errPort       = errors.New("a port is a number from 1 to 65535")
)

// cleanHost lowers, and drops the brackets of an IPv6 address and one trailing dot.
func cleanHost(v []byte) []byte {
	v = bytes.ToLower(bytes.TrimSpace(v))
	if len(v) > 2 && v[0] == '[' && v[len(v)-1] == ']' {
		v = v[1 : len(v)-1]
	}
	return bytes.TrimSuffix(v, []byte("."))
}

func checkHost(v []byte) error {
	s := string(v)
	switch {
	case strings.Contains(s, "://"):
		return errHostScheme
	case strings.Contains(s, "@"):
		return errHostUser
	}
	h, err := policy.CanonicalHost(s)
	if err != nil {
		if host, port, ok := strings.Cut(s, ":"); ok && host != "" && strings.Trim(port, "0123456789") == "" {
			return errHostPort
		}
		return errHostName
	}
	if a, err := netip.ParseAddr(h); err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		return errHostName
	}
	return nil
}

func checkPort(v []byte) error {
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != string(v) {
		return errPort
	}
	return nil
}
