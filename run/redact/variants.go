package redact

import (
	"bytes"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// value adds every form of one value: the whole, without the white space around it (the forms of the whole are found inside any longer
// text), and if it has many lines each line, for programs print single lines of a key.
func (b *builder) value(name uint32, v []byte) {
	b.name = name
	if len(v) < b.opts.MinLen {
		b.addShort(v)
		return
	}
	whole := bytes.TrimSpace(v)
	if len(whole) < FloorLen {
		b.addShort(v)
		return
	}
	b.unit(whole)
	if !bytes.ContainsAny(whole, "\r\n") {
		return
	}
	lf := bytes.ReplaceAll(whole, []byte("\r\n"), []byte("\n"))
	crlf := bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
	b.unit(lf)
	b.unit(crlf)
	b.unit(bytes.ReplaceAll(lf, []byte("\n"), nil))
	for line := range bytes.SplitSeq(lf, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) >= FloorLen && !armor(line) {
			b.unit(line)
		}
	}
	clear(lf)
	clear(crlf)
}

// armor tells lines that are the same in everybody's keys: masking them would hide public text and tell nothing.
func armor(line []byte) bool {
	return bytes.HasPrefix(line, []byte("-----BEGIN ")) || bytes.HasPrefix(line, []byte("-----END "))
}

// unit adds all encodings of u.
func (b *builder) unit(u []byte) {
	if len(u) < FloorLen {
		return
	}
	hexDigits := isHex(u) && len(u) >= 2*FloorLen
	b.add(u, edge{}, hexDigits)
	if hexDigits {
		b.add(bytes.ToLower(u), edge{}, true)
	}
	b.radix(u, 6, []uint8{0, 4, 2}, std64)
	b.radix(u, 5, []uint8{0, 1, 2, 3, 4}, std32)
	b.hex(u)
	b.tmp(func(t []byte) []byte {
		t = append(t, u...)
		slices.Reverse(t)
		return t
	})
	b.utf16(u)
	b.escapes(u)
}

// tmp adds what f appends to the scratch buffer.
func (b *builder) tmp(f func([]byte) []byte) {
	b.scratch = f(b.scratch[:0])
	b.add(b.scratch, edge{}, false)
}

// hex adds lower and upper case. Spaced, mixed, percent and quoted-printable forms of all bytes are found by the hex view.
func (b *builder) hex(u []byte) {
	for _, d := range []string{"0123456789abcdef", "0123456789ABCDEF"} {
		t := b.scratch[:0]
		for _, c := range u {
			t = append(t, d[c>>4], d[c&15])
		}
		b.scratch = t
		b.add(t, edge{}, d[10] == 'a')
	}
	b.tmp(func(t []byte) []byte { // \x64\x65, as repr and printf write it
		for _, c := range u {
			t = append(t, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		return t
	})
}

// utf16 adds both byte orders, without the zero byte that stands outermost: for ASCII both have the same core.
func (b *builder) utf16(u []byte) {
	if !utf8.Valid(u) {
		return
	}
	le := b.scratch[:0]
	ascii := true
	for _, c := range u {
		ascii = ascii && c < utf8.RuneSelf
		le = append(le, c, 0)
	}
	if ascii {
		b.scratch = le
		b.add(le[:len(le)-1], edge{}, false)
		return
	}
	le = le[:0]
	for _, r := range string(u) {
		for _, c := range utf16.AppendRune(nil, r) {
			le = append(le, byte(c), byte(c>>8))
		}
	}
	b.scratch = le
	b.add(le, edge{}, false)
	for i := 0; i+1 < len(le); i += 2 {
		le[i], le[i+1] = le[i+1], le[i]
	}
	b.add(le, edge{}, false)
}

func isHex(u []byte) bool {
	for _, c := range u {
		if digits16[c] == noDigit {
			return false
		}
	}
	return true
}
