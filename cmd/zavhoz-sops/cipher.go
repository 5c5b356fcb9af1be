package main

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
)

const (
	nonceSize = 32
	tagSize   = 16
	encHead   = "ENC[AES256_GCM,data:"
)

var errValue = errors.New("a value does not open")

// cipher is SOPS's AES256_GCM for one data key. It keeps each ciphertext that it opened, so that a value that stays the same is written as it was.
// Equal to SOPS's own, which compiles the key and a regular expression for each value.
type cipher struct {
	block stdcipher.Block
	gcm   map[int]stdcipher.AEAD // by length of nonce
	seen  map[seen]string
}

type seen struct {
	path  string
	value any
}

var _ sops.Cipher = (*cipher)(nil)

func newCipher(key []byte) (*cipher, error) {
	if len(key) != 32 {
		return nil, errValue
	}
	b, err := aes.NewCipher(key)
	return &cipher{b, map[int]stdcipher.AEAD{}, map[seen]string{}}, err
}

func (c *cipher) aead(nonce int) (stdcipher.AEAD, error) {
	if a, ok := c.gcm[nonce]; ok {
		return a, nil
	}
	if nonce == 0 || nonce > 64 {
		return nil, errValue
	}
	a, err := stdcipher.NewGCMWithNonceSize(c.block, nonce)
	if err == nil {
		c.gcm[nonce] = a
	}
	return a, err
}

// sealed is the text form taken apart.
type sealed struct {
	box, nonce []byte // the tag is at the end of box
	kind       string
}

// parse reads "ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]".
func parse(text string) (v sealed, ok bool) {
	rest, ok1 := strings.CutPrefix(text, encHead)
	data, rest, ok2 := strings.Cut(rest, ",iv:")
	nonce, rest, ok3 := strings.Cut(rest, ",tag:")
	tag, rest, ok4 := strings.Cut(rest, ",type:")
	kind, ok5 := strings.CutSuffix(rest, "]")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return v, false
	}
	v.kind = kind
	v.box = make([]byte, 0, base64.StdEncoding.DecodedLen(len(data)+len(tag))+4)
	var err error
	if v.box, err = base64.StdEncoding.AppendDecode(v.box, []byte(data)); err != nil {
		return v, false
	}
	before := len(v.box)
	if v.box, err = base64.StdEncoding.AppendDecode(v.box, []byte(tag)); err != nil || len(v.box)-before != tagSize {
		return v, false
	}
	v.nonce, err = base64.StdEncoding.DecodeString(nonce)
	return v, err == nil
}

// Decrypt opens one value. SOPS writes an empty text for an empty one.
func (c *cipher) Decrypt(text string, _ []byte, path string) (any, error) {
	if text == "" {
		return "", nil
	}
	v, ok := parse(text)
	if !ok {
		return nil, errValue
	}
	a, err := c.aead(len(v.nonce))
	if err != nil {
		return nil, errValue
	}
	plain, err := a.Open(v.box[:0], v.nonce, v.box, []byte(path))
	if err != nil {
		return nil, errValue
	}
	value, err := typed(v.kind, string(plain))
	clear(plain)
	if err != nil {
		return nil, errValue
	}
	c.seen[seen{path, value}] = text
	return value, nil
}

func typed(kind, s string) (any, error) {
	switch kind {
	case "str", "bytes":
		return s, nil
	case "int":
		return strconv.Atoi(s)
	case "float":
		return strconv.ParseFloat(s, 64)
	case "bool":
		return strconv.ParseBool(s)
	case "time":
		var t time.Time
		err := t.UnmarshalText([]byte(s))
		return t, err
	case "comment":
		return sops.Comment{Value: s}, nil
	}
	return nil, errValue
}

// Encrypt seals one value under a fresh nonce, or gives back the ciphertext that it was read from.
func (c *cipher) Encrypt(value any, _ []byte, path string) (string, error) {
	kind, plain, err := untyped(value)
	if err != nil || len(plain) == 0 {
		return "", err
	}
	if remark, ok := value.(sops.Comment); ok {
		value = sops.Comment{Value: remark.Value} // as it was opened: where it stands is not encrypted
	}
	if before, ok := c.seen[seen{path, value}]; ok {
		return before, nil
	}
	a, err := c.aead(nonceSize)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce)
	box := a.Seal(nil, nonce, plain, []byte(path))
	clear(plain)
	at := len(box) - tagSize
	b64 := base64.StdEncoding
	out := make([]byte, 0, len(encHead)+b64.EncodedLen(len(box))+128)
	out = b64.AppendEncode(append(out, encHead...), box[:at])
	out = b64.AppendEncode(append(out, ",iv:"...), nonce)
	out = b64.AppendEncode(append(out, ",tag:"...), box[at:])
	return string(append(append(append(out, ",type:"...), kind...), ']')), nil
}

func untyped(value any) (kind string, plain []byte, err error) {
	switch v := value.(type) {
	case string:
		return "str", []byte(v), nil
	case int:
		return "int", strconv.AppendInt(nil, int64(v), 10), nil
	case float64:
		return "float", strconv.AppendFloat(nil, v, 'f', -1, 64), nil
	case bool:
		if v {
			return "bool", []byte("True"), nil
		}
		return "bool", []byte("False"), nil
	case time.Time:
		b, err := v.MarshalText()
		return "time", b, err
	case sops.Comment:
		return "comment", []byte(v.Value), nil
	}
	return "", nil, errValue
}
