package redact

const (
	std64   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	std32   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	noDigit = 0xff
)

// Values of characters; both base64 alphabets share a table, so that a match has the same edges in either.
var (
	digits64 = table(std64, "-\x3e_\x3f")
	digits32 = table(std32, "")
	digits16 = table("0123456789abcdef", "A\x0aB\x0bC\x0cD\x0dE\x0eF\x0f")
)

func table(alphabet, extra string) (t [256]uint8) {
	for i := range t {
		t[i] = noDigit
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = uint8(i)
	}
	for i := 0; i < len(extra); i += 2 {
		t[extra[i]] = extra[i+1]
	}
	return t
}

func digits(radix uint8) *[256]uint8 {
	if radix == 6 {
		return &digits64
	}
	return &digits32
}

// radix adds the base64 (6 bits a character) or base32 (5) forms of u at each alignment. An alignment is the number of u's first bits that sit in a
// character shared with what stands before. What is added is the stable inner part; the shared characters on both sides are described by
// the edge, and masked with it.
func (b *builder) radix(u []byte, bits uint8, alignments []uint8, alphabet string) {
	for _, l := range alignments {
		t := b.scratch[:0]
		e := edge{radix: bits, lbits: l}
		acc, have, url := uint32(0), uint8(0), false
		for i, c := range u {
			acc, have = acc<<8|uint32(c), have+8
			if i == 0 && l > 0 {
				e.lval = uint8(acc >> (8 - l))
				have -= l
			}
			for have >= bits {
				have -= bits
				d := acc >> (have & 31) & (1<<(bits&31) - 1)
				url = url || d >= 62
				t = append(t, alphabet[d])
			}
		}
		e.rbits, e.rval = have, uint8(acc&(1<<have-1))
		b.scratch = t
		b.add(t, e, false)
		if url {
			for i, c := range t {
				switch c {
				case '+':
					t[i] = '-'
				case '/':
					t[i] = '_'
				}
			}
			b.add(t, e, false)
		}
	}
}
