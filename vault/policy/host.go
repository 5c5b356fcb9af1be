package policy

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

var (
	errHost = errors.New("a host is a name in lower-case letters, digits, `-` and `.` (others as xn--…), an IP address, or *. and a name of two labels or more")
	label   = lazyregexp.New(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	number  = lazyregexp.New(`^([0-9]+|0x[0-9a-f]*)$`)
)

// CanonicalHost gives the one spelling of a host: lower case, IPv6 without brackets. What could be read as another host by another program is
// refused (threat-model.md 54, 55): trailing dots, non-ASCII letters, "2130706433", "0x7f.1", "127.1", IPv4 inside IPv6, zones.
func CanonicalHost(s string) (string, error) {
	s = strings.ToLower(s)
	if bare, ok := strings.CutPrefix(s, "["); ok {
		bare, ok = strings.CutSuffix(bare, "]")
		if !ok || !strings.Contains(bare, ":") {
			return "", errHost
		}
		s = bare
	}
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return "", errHost
		}
		return a.String(), nil
	}
	if len(s) == 0 || len(s) > 253 {
		return "", errHost
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !label.MatchString(l) {
			return "", errHost
		}
	}
	if number.MatchString(labels[len(labels)-1]) { // then every reader takes it for IPv4: in the one true form or not at all
		a, err := netip.ParseAddr(s)
		if err != nil {
			return "", errHost
		}
		return a.String(), nil
	}
	return s, nil
}

// canonicalPattern is CanonicalHost for a rule: "*.name" too. The name must belong to somebody: "*.com", "*.co.uk" and "*.github.io" would let in
// hosts that anybody may register.
func canonicalPattern(s string) (string, error) {
	rest, ok := strings.CutPrefix(s, "*.")
	if !ok {
		return CanonicalHost(s)
	}
	h, err := CanonicalHost(rest)
	if err != nil || !strings.Contains(h, ".") || isIP(h) {
		return "", errHost
	}
	if suffix, _ := publicsuffix.PublicSuffix(h); suffix == h {
		return "", errors.New("anybody may register names below that one: name the host")
	}
	return "*." + h, nil
}

func isIP(h string) bool {
	_, err := netip.ParseAddr(h)
	return err == nil
}

// covers tells whether the pattern allows the host; both canonical. A pattern never covers an address that it does not name.
func covers(pattern, host string) bool {
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		return !isIP(host) && strings.HasSuffix(host, "."+rest)
	}
	return pattern == host
}
