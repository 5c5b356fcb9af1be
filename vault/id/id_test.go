package id_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/id"
)

func TestIDsAreTypedAndFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := id.New(id.Lease)
		if !id.Is(s, id.Lease) || id.Is(s, id.Run) || seen[s] {
			t.Fatalf("bad id %q", s)
		}
		seen[s] = true
	}
	for _, bad := range []string{"", "lse_", "lse_short", "lse_" + strings.Repeat("A", 26), "res_" + strings.Repeat("a", 26)} {
		if id.Is(bad, id.Lease) {
			t.Errorf("%q taken for a lease id", bad)
		}
	}
}

// The golden token pins the public format: prefix, alphabet, checksum, hash.
func TestTokenGolden(t *testing.T) {
	const token = "zvh_agt_" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + "qwjj3ui"
	k, err := id.CheckToken(token)
	if err != nil || k != id.AgentToken {
		t.Fatalf("golden token refused: %v", err)
	}
	const hash = "2a5ce0080052703c59e68d3fc3662fabea86c40751edac047fd6974682eda6a4"
	if got := id.HashToken(token); got != hash {
		t.Errorf("hash = %s, want %s", got, hash)
	}
}

func TestTokenChecksumCatchesEveryChangedCharacter(t *testing.T) {
	token := id.NewToken(id.OperatorToken)
	if k, err := id.CheckToken(token); err != nil || k != id.OperatorToken {
		t.Fatalf("%v %v", k, err)
	}
	for i := range token {
		c := byte('a')
		if token[i] == 'a' {
			c = 'b'
		}
		if _, err := id.CheckToken(token[:i] + string(c) + token[i+1:]); err == nil {
			t.Fatalf("a change at %d was not seen", i)
		}
	}
}
