package redact

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// Words of dumps and base 58 alarm, between other text; ordinary output does not.
func TestDetectorReadsWordsAndBase58(t *testing.T) {
	const value = "ghp_Q7rT2vXw9zLk4mNp8sBd1fGh3jKa5cVe6uYo"
	d := mustSet(t, Options{}, value).Detector()
	var four, eight strings.Builder
	for i := 0; i+4 <= len(value); i += 4 {
		fmt.Fprintf(&four, "%08x ", binary.LittleEndian.Uint32([]byte(value[i:])))
	}
	for i := 0; i+8 <= len(value); i += 8 {
		fmt.Fprintf(&eight, "%016x ", binary.LittleEndian.Uint64([]byte(value[i:])))
	}
	for name, text := range map[string]string{
		"od -tx4": "0000000 " + four.String(), "od -tx8": eight.String() + "\n", "base58": "key: " + base58(value) + "\n",
	} {
		if got := d.Alarm([]byte(text)); len(got) != 1 {
			t.Errorf("%s: %q alarms %v", name, text, got)
		}
	}
	if got := d.Alarm(makeLog(64 << 10)); len(got) != 0 {
		t.Errorf("a log alarms: %v", got)
	}
}

func base58(s string) string {
	n, rest := new(big.Int).SetBytes([]byte(s)), new(big.Int)
	var out []byte
	for n.Sign() > 0 {
		n.DivMod(n, big.NewInt(58), rest)
		out = append([]byte{alphabet58[rest.Int64()]}, out...)
	}
	return string(out)
}
