package importer

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The parts of a Fernet token, in bytes: version, time, IV, ciphertext, MAC.
const (
	fernetVersion = 0x80
	fernetHead    = 1 + 8 + aes.BlockSize
	fernetMAC     = sha256.Size
	fernetMin     = fernetHead + aes.BlockSize + fernetMAC
	fernetMark    = "gAAAA" // how the version and the zeros of the time begin in base64, until the year 2106
)

// FernetKeys are the earlier system's keys, the newest first or not: a token's MAC tells which is its own.
type FernetKeys []secret.Secret

// ParseFernetKeys reads keys as the earlier system has them: base64url of 32 bytes, one a line or separated by commas. The caller wipes b. Errors: invalid_argument.
func ParseFernetKeys(b []byte) (FernetKeys, error) {
	var keys FernetKeys
	for _, f := range bytes.FieldsFunc(b, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' || r == ' ' }) {
		key := make([]byte, 33)
		n, err := base64.URLEncoding.Strict().Decode(key[:base64.URLEncoding.DecodedLen(min(len(f), 44))], f[:min(len(f), 44)])
		if err != nil || n != 32 || len(f) != 44 || len(keys) >= 16 {
			clear(key)
			keys.Wipe()
			return nil, broken("the key is no Fernet key", "it is 44 characters of base64, as SECRETS_ENCRYPTION_KEY has it")
		}
		keys = append(keys, secret.New(key[:32]))
	}
	if len(keys) == 0 {
		return nil, broken("there is no Fernet key", "it is 44 characters of base64, as SECRETS_ENCRYPTION_KEY has it")
	}
	return keys, nil
}

// Wipe overwrites the keys.
func (k FernetKeys) Wipe() {
	for _, key := range k {
		key.Wipe()
	}
}

// IsFernet tells whether a text has the form of a token.
func IsFernet(token []byte) bool {
	return bytes.HasPrefix(token, []byte(fernetMark)) && len(token) >= base64.RawURLEncoding.EncodedLen(fernetMin)
}

// FernetTime gives when a token says that it was made, to the second. Its MAC vouches for that, which Open holds it to; zero where it is no token.
func FernetTime(token []byte) time.Time {
	var raw [9]byte
	if len(token) < 12 {
		return time.Time{}
	}
	if _, err := base64.URLEncoding.Decode(raw[:], token[:12]); err != nil || raw[0] != fernetVersion {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[1:])), 0)
}

// Open gives what a token holds. Its age does not matter: it is a value at rest. Errors: wrong_identity where no key's MAC fits; invalid_argument.
func (k FernetKeys) Open(token []byte) (secret.Secret, error) {
	raw := make([]byte, base64.RawURLEncoding.DecodedLen(len(token)))
	n, err := base64.RawURLEncoding.Strict().Decode(raw, bytes.TrimRight(token, "="))
	if err != nil || n < fernetMin || (n-fernetHead-fernetMAC)%aes.BlockSize != 0 || raw[0] != fernetVersion {
		return secret.Secret{}, broken("a value is no Fernet token", "give the export as the earlier system wrote it")
	}
	signed, mac := raw[:n-fernetMAC], raw[n-fernetMAC:n]
	for _, key := range k {
		h := hmac.New(sha256.New, key.Reveal()[:16])
		h.Write(signed)
		if hmac.Equal(h.Sum(nil), mac) {
			return decrypt(key.Reveal()[16:], signed)
		}
	}
	return secret.Secret{}, fault.New(fault.WrongIdentity, "the key does not open the export, or the export was changed", "give the key that the earlier system had when it wrote it")
}

func decrypt(key, signed []byte) (secret.Secret, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return secret.Secret{}, fault.Of(err)
	}
	plain := make([]byte, len(signed)-fernetHead)
	cipher.NewCBCDecrypter(block, signed[9:fernetHead]).CryptBlocks(plain, signed[fernetHead:])
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize || bytes.Count(plain[len(plain)-pad:], []byte{byte(pad)}) != pad {
		clear(plain) // the MAC held: whoever wrote it has the key, and no oracle is asked
		return secret.Secret{}, broken("a Fernet token holds no value", "")
	}
	return secret.New(plain[:len(plain)-pad]), nil
}

// slug makes a project's slug of a text; "" where nothing is left.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', b.Len() > 0 && r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := b.String()
	return strings.Trim(s[:min(len(s), 40)], "-")
}

// Seal makes a token of a value, under the first key: for programs of the earlier system that still read their own table.
func (k FernetKeys) Seal(value secret.Secret, now time.Time) (string, error) {
	if len(k) == 0 {
		return "", broken("there is no Fernet key", "")
	}
	key := k[0].Reveal()
	block, err := aes.NewCipher(key[16:])
	if err != nil {
		return "", fault.Of(err)
	}
	pad := aes.BlockSize - value.Len()%aes.BlockSize
	raw := make([]byte, fernetHead, fernetHead+value.Len()+pad+fernetMAC)
	raw[0] = fernetVersion
	binary.BigEndian.PutUint64(raw[1:9], uint64(now.Unix()))
	_, _ = rand.Read(raw[9:fernetHead]) // never fails
	raw = append(raw, value.Reveal()...)
	raw = append(raw, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, raw[9:fernetHead]).CryptBlocks(raw[fernetHead:], raw[fernetHead:])
	h := hmac.New(sha256.New, key[:16])
	h.Write(raw)
	return base64.URLEncoding.EncodeToString(h.Sum(raw)), nil
}
