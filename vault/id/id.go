// Package id makes the identifiers and tokens that Zavhoz names in public.
//
// Promise: an id says what it names (res_…, lse_…) and nothing else; it is random (128 bit, crypto/rand), never a counter or a
// provider's number, so it cannot be guessed or used to count. A token (zvh_agt_…, zvh_op_…) carries a checksum, so that secret
// scanners can know one with no false alarms; only its hash is kept.
//
// Attack stopped: a handle or lease guessed (threat-model.md 63). Possession of an id is never permission all the same.
package id

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
)

// Kind is the prefix of an id, frozen once public.
type Kind string

// The kinds of id.
const (
	Resource Kind = "res"
	Lease    Kind = "lse"
	Run      Kind = "run"
	Agent    Kind = "agt"
	Project  Kind = "prj"
	Server   Kind = "srv"
	Approval Kind = "apr"
	Intake   Kind = "itk"
	Vault    Kind = "vlt"
	Workdir  Kind = "wdr"
	Replica  Kind = "rpl"
	Errand   Kind = "ern"
)

// TokenKind is the prefix of a bearer token, frozen once public.
type TokenKind string

// The kinds of token.
const (
	AgentToken    TokenKind = "zvh_agt_"
	OperatorToken TokenKind = "zvh_op_"
)

// ErrToken says that a text is not a token of ours: wrong prefix, length, alphabet or checksum.
var ErrToken = errors.New("id: not a zavhoz token")

var enc = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// New gives a fresh id: the kind, "_", 26 characters of lower-case base32 (128 random bits and two zero bits).
func New(k Kind) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails: it crashes the process first
	return string(k) + "_" + enc.EncodeToString(b[:])
}

// Is tells whether s has the shape of an id of kind k.
func Is(s string, k Kind) bool {
	rest, ok := strings.CutPrefix(s, string(k))
	if !ok || len(rest) != 27 || rest[0] != '_' {
		return false
	}
	for _, c := range []byte(rest[1:]) { // by hand: every read by id asks
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// NewToken gives a fresh token: prefix, 52 characters (256 random bits), 7 characters (CRC-32 of all before, IEEE).
func NewToken(k TokenKind) string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return withSum(string(k) + enc.EncodeToString(b[:]))
}

// CheckToken gives the token's kind, or ErrToken. It says nothing about whether the token is known.
func CheckToken(s string) (TokenKind, error) {
	for _, k := range []TokenKind{AgentToken, OperatorToken} {
		rest, ok := strings.CutPrefix(s, string(k))
		if !ok {
			continue
		}
		if len(rest) != 52+7 || withSum(s[:len(s)-7]) != s {
			return "", ErrToken
		}
		return k, nil
	}
	return "", ErrToken
}

// HashToken is what is kept of a token: SHA-256 in hex. A token has 256 random bits, so a plain hash cannot be searched.
func HashToken(s string) string {
	h := sha256.Sum256([]byte("zavhoz token v1\x00" + s))
	return hex.EncodeToString(h[:])
}

func withSum(s string) string {
	c := crc32.ChecksumIEEE([]byte(s))
	return s + enc.EncodeToString([]byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)})
}
