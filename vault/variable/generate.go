package variable

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"

	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// ErrForm says that there is no such form of a generated secret.
var ErrForm = errors.New("variable: unknown form of a generated secret")

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits       = "0123456789"
	alphabet     = lowerLetters + upperLetters + digits
)

// Generate makes a secret of the form. entropy nil: crypto/rand.
func Generate(form contract.Form, entropy io.Reader) (secret.Secret, error) {
	if entropy == nil {
		entropy = rand.Reader
	}
	switch form {
	case contract.URLSafe:
		return encoded(entropy, 32, base64.RawURLEncoding, "")
	case contract.Fernet:
		return encoded(entropy, 32, base64.URLEncoding, "")
	case contract.LaravelKey:
		return encoded(entropy, 32, base64.StdEncoding, "base64:")
	case contract.Hex:
		return hexadecimal(entropy, 32)
	case contract.Hex64:
		return hexadecimal(entropy, 64)
	case contract.AlphaNumber:
		return letters(entropy, 43)
	case contract.Password:
		return password(entropy, 32)
	}
	return secret.Secret{}, ErrForm
}

func encoded(entropy io.Reader, n int, as *base64.Encoding, head string) (secret.Secret, error) {
	raw := make([]byte, n)
	defer clear(raw)
	if _, err := io.ReadFull(entropy, raw); err != nil {
		return secret.Secret{}, err
	}
	out := make([]byte, len(head)+as.EncodedLen(n))
	copy(out, head)
	as.Encode(out[len(head):], raw)
	return secret.New(out), nil
}

func hexadecimal(entropy io.Reader, n int) (secret.Secret, error) {
	raw := make([]byte, n)
	defer clear(raw)
	if _, err := io.ReadFull(entropy, raw); err != nil {
		return secret.Secret{}, err
	}
	out := make([]byte, hex.EncodedLen(n))
	hex.Encode(out, raw)
	return secret.New(out), nil
}

// letters draws n letters and digits, each as likely as any other: a byte beyond the last whole multiple of 62 is drawn again.
func letters(entropy io.Reader, n int) (secret.Secret, error) {
	out := make([]byte, 0, n)
	raw := make([]byte, 64)
	defer clear(raw)
	const fair = 256 - 256%len(alphabet)
	for len(out) < n {
		if _, err := io.ReadFull(entropy, raw); err != nil {
			clear(out)
			return secret.Secret{}, err
		}
		for _, b := range raw {
			if int(b) < fair && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return secret.New(out), nil
}

// password draws until all three sorts are there: what is refused says nothing of what is kept.
func password(entropy io.Reader, n int) (secret.Secret, error) {
	for {
		s, err := letters(entropy, n)
		if err != nil || hasAll(s) {
			return s, err
		}
		s.Wipe()
	}
}

func hasAll(s secret.Secret) bool {
	var lower, upper, digit bool
	for _, b := range s.Reveal() {
		switch {
		case b >= 'a' && b <= 'z':
			lower = true
		case b >= 'A' && b <= 'Z':
			upper = true
		default:
			digit = true
		}
	}
	return lower && upper && digit
}
