package ssh

import (
	"net/netip"
	"slices"
	"testing"
)

// The forms that a server's own name, its PTR record and /proc/net show.
func TestAttack49_SpellingsOfAnAddress(t *testing.T) {
	for ip, shown := range map[string][]string{
		"192.0.2.7":   {"192.0.2.7", "192-0-2-7", "7.2.0.192", "7-2-0-192", "C0000207", "070200C0", "3221225991", "c000:207", "192.000.002.007"},
		"2001:db8::7": {"2001:db8::7", "2001:0db8:0000:0000:0000:0000:0000:0007", "B80D0120000000000000000007000000", "2001-0db8-0000-0000-0000-0000-0000-0007", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"},
	} {
		got := spellings(netip.MustParseAddr(ip))
		for _, s := range shown {
			if !slices.Contains(got, s) {
				t.Errorf("%s: %q is not among %q", ip, s, got)
			}
		}
	}
}
