package redact

import "bytes"

// class is a set of bytes.
type class [256]bool

// classOf reads "A-Za-z0-9_-": ranges, and single bytes.
func classOf(text string) *class {
	c := new(class)
	for i := 0; i < len(text); i++ {
		if i+2 < len(text) && text[i+1] == '-' {
			for b := int(text[i]); b <= int(text[i+2]); b++ {
				c[b] = true
			}
			i += 2
			continue
		}
		c[text[i]] = true
	}
	return c
}

func (c *class) all(b []byte) bool {
	for _, x := range b {
		if !c[x] {
			return false
		}
	}
	return len(b) > 0
}

// run gives the end of the run of bytes of c that begins at b[at].
func (c *class) run(b []byte, at int) int {
	for at < len(b) && c[b[at]] {
		at++
	}
	return at
}

var (
	numbers  = classOf("0-9")
	hexLow   = classOf("0-9a-f")
	hexAny   = classOf("0-9a-fA-F")
	upperNum = classOf("A-Z0-9")
	alnum    = classOf("A-Za-z0-9")
	wordy    = classOf("A-Za-z0-9_")
	urlSafe  = classOf("A-Za-z0-9_-")
	dotted   = classOf("A-Za-z0-9_.-")
	base64ed = classOf("A-Za-z0-9+/=")
	mixed64  = classOf("A-Za-z0-9+/=_,.-")

	wordLeft = classOf("A-Za-z0-9_-")
)

// token is a literal and at least least bytes of a class behind it.
func token(name, literal string, of *class, least int) foreignRule {
	return foreignRule{name: name, literal: literal, find: func(b []byte, at int, final bool) (finding, verdict) {
		return tokenAt(b, at, at+len(literal), of, least, 0, final)
	}}
}

// wordToken is a token whose literal is so short that it must begin a word, and of which some numbers must stand among the first bytes: identifiers have few.
func wordToken(name, literal string, of *class, least, numbers int) foreignRule {
	return foreignRule{name: name, literal: literal, word: true, find: func(b []byte, at int, final bool) (finding, verdict) {
		return tokenAt(b, at, at+len(literal), of, least, numbers, final)
	}}
}

// behind is a value of a class behind a literal that itself stays.
func behind(name, literal string, of *class, least int) foreignRule {
	return foreignRule{name: name, literal: literal, find: func(b []byte, at int, final bool) (finding, verdict) {
		return tokenAt(b, at+len(literal), at+len(literal), of, least, 0, final)
	}}
}

// sample is among how many bytes of a token numbers are counted.
const sample = 40

// tokenAt masks b[lo:] to the end of the run that begins at body, if that has least bytes, and a number of numbers among its first.
func tokenAt(b []byte, lo, body int, of *class, least, wanted int, final bool) (finding, verdict) {
	hi := of.run(b, body)
	open := hi == len(b) && !final
	switch need := least; {
	case wanted > 0 && open && hi-body < max(need, sample):
		return finding{}, unsure
	case hi-body < need && open:
		return finding{}, unsure
	case hi-body < need:
		return finding{}, no
	}
	if wanted > 0 && count(numbers, b[body:min(hi, body+sample)]) < wanted {
		return finding{}, no
	}
	f := finding{lo: lo, hi: hi}
	if open {
		f.over = &overrun{run: of}
	}
	return f, yes
}

func count(c *class, b []byte) (n int) {
	for _, x := range b {
		if c[x] {
			n++
		}
	}
	return n
}

// Bounds of a block, in bytes.
const (
	maxBlock   = 32 << 10 // masked where no end comes: an RSA key of 16384 bits has 13 KiB
	maxLabel   = 80       // of a line that begins or ends a block
	blockProof = 512      // behind the first line: within them a run of blockRun base64 characters tells a key from a mention of one
	blockRun   = 24
)

// block is a private key with a first and a last line. begins tells whether the first line, given from the literal on, is that of a key, and how long it is.
func block(name, literal, end string, begins func(line []byte, final bool) (int, verdict)) foreignRule {
	return foreignRule{name: name, literal: literal, find: func(b []byte, at int, final bool) (finding, verdict) {
		n, v := begins(b[at:min(len(b), at+maxLabel)], final && len(b) <= at+maxLabel)
		if v != yes {
			return finding{}, v
		}
		proof := b[at+n : min(len(b), at+n+blockProof)]
		switch {
		case holdsRun(proof):
		case len(proof) < blockProof && !final:
			return finding{}, unsure
		default:
			return finding{}, no
		}
		return finding{lo: at, hi: at + n, over: &overrun{end: end}}, yes
	}}
}

// holdsRun tells whether text holds a run of base64 as keys have it, before a line that ends a block.
func holdsRun(text []byte) bool {
	if end := bytes.Index(text, []byte("-----END")); end >= 0 {
		text = text[:end]
	}
	for at := 0; at < len(text); at++ {
		hi := base64ed.run(text, at)
		if hi-at >= blockRun {
			return true
		}
		at = hi
	}
	return false
}

// blockEnd gives how much of b is of a block that ends with the line that begins with end: yes if that line was seen whole, unsure if it may still come. last
// says that no more of the block will come.
func blockEnd(b []byte, end string, last bool) (int, verdict) {
	at := bytes.Index(b, []byte(end))
	if at < 0 {
		if last {
			return len(b), no
		}
		return max(0, len(b)-len(end)+1), unsure
	}
	line := b[at+len(end):]
	whole := len(line) >= maxLabel || last
	line = line[:min(len(line), maxLabel)]
	if dashes := bytes.Index(line, []byte("-----")); dashes >= 0 {
		line, whole = line[:dashes+5], true
	}
	if br := bytes.IndexAny(line, "\r\n"); br >= 0 {
		line, whole = line[:br], true
	}
	if !whole {
		return at, unsure
	}
	return at + len(end) + len(line), yes
}
