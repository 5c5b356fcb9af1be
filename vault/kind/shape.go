package kind

import (
	"hash/crc32"
	"io"
)

// Shape is how a believable placeholder looks: a fixed head, then letters of an alphabet. Clients that check the form of a key accept it; only the
// proxy gives it a meaning.
type Shape struct {
	Prefix   string
	Alphabet string // "": letters and digits
	Length   int    // of the whole; 0: that of the true value, and 32 at least
	// Sum ends it in the checksum that GitHub's and npm's tokens have: six base-62 digits of the CRC-32 of the letters between head and sum. Clients and secret scanners
	// tell a mistyped token by it.
	Sum bool
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// minRandom is how many random letters a placeholder has at least: nobody hits one by chance.
const minRandom = 20

// ShapeOf gives the shape of a sealed field's placeholder.
func (k Kind) ShapeOf(attrs map[string]string, field string) Shape {
	if k.Placeholder == nil {
		return Shape{}
	}
	return k.Placeholder(attrs, field)
}

// Make draws a placeholder; length is that of the true value.
func (s Shape) Make(random io.Reader, length int) (string, error) {
	alphabet := s.Alphabet
	if alphabet == "" {
		alphabet = alphanumeric
	}
	if s.Length > 0 {
		length = s.Length
	} else {
		length = max(length, 32)
	}
	n := max(length-len(s.Prefix), minRandom)
	if s.Sum {
		n = max(n-sumLen, minRandom)
	}
	out := append(make([]byte, 0, len(s.Prefix)+n), s.Prefix...)
	limit := 256 - 256%len(alphabet) // above: drawn again, so that every letter is as likely
	var buf [64]byte
	for n > 0 {
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return "", err
		}
		for _, b := range buf {
			if int(b) < limit && n > 0 {
				out = append(out, alphabet[int(b)%len(alphabet)])
				n--
			}
		}
	}
	if s.Sum {
		out = append(out, base62(crc32.ChecksumIEEE(out[len(s.Prefix):]))...)
	}
	return string(out), nil
}

const (
	sumLen = 6
	digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// base62 writes a checksum, zeros first.
func base62(n uint32) []byte {
	out := []byte("000000")
	for i := sumLen - 1; n > 0; i-- {
		out[i] = digits[n%62]
		n /= 62
	}
	return out
}
