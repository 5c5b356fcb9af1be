package ssh

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// hiddenOf lists what would give the server's place away: its name, and its address in the forms in which a machine itself shows it.
func hiddenOf(host secret.Secret, remote net.Addr) []secret.Secret {
	hidden := []secret.Secret{host.Clone()}
	add, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return hidden
	}
	for _, s := range spellings(add.Addr().Unmap().WithZone("")) {
		hidden = append(hidden, secret.FromString(s))
	}
	return hidden
}

// spellings are the forms of an address that programs print unasked: names that providers make of it (ip-192-0-2-7, 7.2.0.192.in-addr.arpa), the hexadecimal of
// /proc/net/tcp, padded octets, one number. Who puts it in disguise on purpose needs none of these, and is not stopped (threat-model.md 49).
func spellings(ip netip.Addr) []string {
	raw := ip.AsSlice()
	if ip.Is6() {
		nibbles := strings.Split(hex.EncodeToString(raw), "")
		slices.Reverse(nibbles)
		return append([]string{ip.String(), ip.StringExpanded(), strings.ReplaceAll(ip.StringExpanded(), ":", "-"), strings.Join(nibbles, ".")}, hexForms(raw)...)
	}
	octets := make([]string, len(raw))
	for i, b := range raw {
		octets[i] = fmt.Sprint(b)
	}
	back := slices.Clone(octets)
	slices.Reverse(back)
	forms := []string{
		ip.String(), "::ffff:" + ip.String(), strings.Join(octets, "-"), strings.Join(octets, "_"), strings.Join(back, "."), strings.Join(back, "-"),
		fmt.Sprintf("%03d.%03d.%03d.%03d", raw[0], raw[1], raw[2], raw[3]), fmt.Sprint(binary.BigEndian.Uint32(raw)),
		fmt.Sprintf("%x:%x", binary.BigEndian.Uint16(raw), binary.BigEndian.Uint16(raw[2:])),
	}
	return append(forms, hexForms(raw)...)
}

// hexForms are the bytes in hexadecimal: in their order, and as the kernel of a little-endian machine shows each word of four.
func hexForms(raw []byte) []string {
	words := slices.Clone(raw)
	for w := range slices.Chunk(words, 4) {
		slices.Reverse(w)
	}
	var forms []string
	for _, b := range [][]byte{raw, words} {
		s := hex.EncodeToString(b)
		forms = append(forms, s)
		if up := strings.ToUpper(s); up != s {
			forms = append(forms, up)
		}
	}
	return forms
}
