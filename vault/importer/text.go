package importer

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Text gives a file as UTF-8 without a byte order mark: what Windows programs write is UTF-16. Line ends stay as they are. It may give b itself.
// Errors: invalid_argument for what is no text, too_large.
func Text(b []byte) ([]byte, error) {
	switch {
	case len(b) > MaxFile:
		return nil, fault.New(fault.TooLarge, "the file is larger than 64 MiB", "import it in parts")
	case bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}):
		b = b[3:]
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		return fromUTF16(b[2:], binary.LittleEndian)
	case bytes.HasPrefix(b, []byte{0xFE, 0xFF}):
		return fromUTF16(b[2:], binary.BigEndian)
	}
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return nil, noText()
	}
	return b, nil
}

func noText() error {
	return broken("the file is no text", "give what the other program exported, as it is; --format says what it is")
}

func fromUTF16(b []byte, order binary.ByteOrder) ([]byte, error) {
	if len(b)%2 != 0 {
		return nil, noText()
	}
	out := make([]byte, 0, len(b)/2*3)
	for len(b) > 0 {
		r, n := rune(order.Uint16(b)), 2
		if utf16.IsSurrogate(r) {
			if len(b) < 4 {
				clear(out)
				return nil, noText()
			}
			r, n = utf16.DecodeRune(r, rune(order.Uint16(b[2:]))), 4
		}
		if r == utf8.RuneError || r == 0 { // half a pair: the value would be another
			clear(out)
			return nil, noText()
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return out, nil
}
