package egress

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// errOverride ends the body of a request whose form names another method. The host never gets the end of it.
var errOverride = errors.New("egress: the form overrides the method")

// Bounds of what is looked at, in bytes.
const (
	maxFieldName  = 256     // of a field's name as it is written, without what servers leave out before it: the names that count are shorter
	maxPartHeader = 8 << 10 // of a part's header; a longer one is taken for one that hides something
	maxBoundary   = 70      // RFC 2046
	maxJSONName   = 512     // of a JSON name as it is written: the longest that counts, all of it escaped, and room
)

// formScan looks through a body, as it comes, for a field that overrides the method (threat-model.md 40). Frameworks heed such a field when they have read the whole
// body, so a body that is cut where the field begins does nothing. It keeps a field's name, or one part's header, and nothing else.
type formScan interface {
	// overrides looks at the next bytes and tells whether such a field is there.
	overrides(b []byte) bool
	// ends tells the same of what was not complete when the body ended.
	ends() bool
}

// scanOf gives what looks through the body of a request; nil where it is no form. packed says that it may be one and cannot be looked through.
func scanOf(h http.Header) (scan formScan, packed bool) {
	kind, boundary := kindOf(h)
	switch {
	case kind == otherBody:
		return nil, false
	case kind == unclearBody || encoded(h):
		return nil, true
	case kind == partBody:
		return &partScan{boundary: []byte("--" + boundary)}, false
	case kind == jsonBody:
		return &nameScan{}, false
	}
	return &fieldScan{}, false
}

func encoded(h http.Header) bool {
	for _, v := range h["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") {
			return true
		}
	}
	return false
}

// fieldScan reads the names of application/x-www-form-urlencoded.
type fieldScan struct {
	name    []byte
	inValue bool
}

func (f *fieldScan) overrides(b []byte) bool {
	for len(b) > 0 {
		if f.inValue {
			i := bytes.IndexAny(b, "&;")
			if i < 0 {
				return false
			}
			b, f.inValue = b[i+1:], false
			continue
		}
		i := bytes.IndexAny(b, "=&;")
		piece := b
		if i >= 0 {
			piece = b[:i]
		}
		f.take(piece)
		if i < 0 {
			return false
		}
		if f.ends() {
			return true
		}
		f.inValue, b = b[i] == '=', b[i+1:]
	}
	return false
}

// take adds to the name, what servers leave out before it left out: PHP blanks, Rack brackets.
func (f *fieldScan) take(b []byte) {
	for len(b) > 0 && len(f.name) < maxFieldName {
		n := min(len(b), maxFieldName-len(f.name))
		f.name, b = append(f.name, b[:n]...), b[n:]
		kept := f.name
		for {
			kept = bytes.TrimLeft(kept, "+"+leftOut)
			if len(kept) < 3 || kept[0] != '%' || !isHex(kept[1]) || !isHex(kept[2]) {
				break
			}
			if c := unhex(kept[1])<<4 | unhex(kept[2]); c > ' ' && c != '[' && c != ']' {
				break
			}
			kept = kept[3:]
		}
		f.name = f.name[:copy(f.name, kept)]
	}
}

func (f *fieldScan) ends() bool {
	name := unescaped(string(f.name))
	f.name = f.name[:0]
	return overridesAs(name)
}

// partScan reads the headers of the parts of multipart/form-data. A boundary counts wherever it stands: servers differ in what they want around it.
type partScan struct {
	boundary []byte
	tail     []byte // of what was looked at: a boundary may go on
	header   []byte // of the part that begins; nil: within a part
}

func (p *partScan) overrides(b []byte) bool {
	for len(b) > 0 {
		if p.header != nil {
			n := min(len(b), maxPartHeader+1-len(p.header))
			p.header, b = append(p.header, b[:n]...), b[n:]
			end, clear := headerEnd(p.header)
			switch {
			case !clear || end < 0 && len(p.header) > maxPartHeader:
				return true
			case end >= 0:
				b = append(bytes.Clone(p.header[end:]), b...)
				if p.header = p.header[:end]; p.ends() {
					return true
				}
			}
			continue
		}
		joined := append(p.tail, b...)
		i := bytes.Index(joined, p.boundary)
		if i < 0 {
			p.tail = append([]byte(nil), joined[max(0, len(joined)-len(p.boundary)+1):]...)
			return false
		}
		b, p.tail, p.header = joined[i+len(p.boundary):], nil, []byte{}
	}
	return false
}

// headerEnd finds what follows the empty line; -1: it is not there yet. It is not clear where a line ends in half an end of line: to some servers it is one, to others not.
func headerEnd(b []byte) (end int, clear bool) {
	for i, c := range b {
		switch {
		case c == '\n' && (i == 0 || b[i-1] != '\r'), c != '\n' && i > 0 && b[i-1] == '\r':
			return -1, false
		case c == '\n' && i >= 3 && b[i-2] == '\n':
			return i + 1, true
		}
	}
	return -1, true
}

// ends looks at the words of a part's header: any of them may be its name. Parts in a part, requests in a part (batches) and names in pieces (RFC 2231) or in a
// mail's encoding (RFC 2047), which only some servers read, are taken for ones that hide something.
func (p *partScan) ends() bool {
	text := strings.ReplaceAll(string(p.header), "\\", "")
	p.header = nil
	low := strings.ToLower(text)
	for _, hides := range []string{"multipart/", "application/http", "=?"} {
		if strings.Contains(low, hides) {
			return true
		}
	}
	return namesOverride(text) || namesOverride(strings.NewReplacer("\r", "", "\n", "", "\t", "", " ", "").Replace(text))
}

func namesOverride(header string) bool {
	extended := false
	for _, word := range strings.FieldsFunc(header, func(c rune) bool { return strings.ContainsRune("=;\"'()<>\r\n,:", c) }) {
		word = strings.TrimSpace(word)
		low := strings.ToLower(word)
		if overridesAs(unescaped(word)) || overridesAs(word) || extended && !charsets[low] || strings.HasPrefix(low, "name*") && low != "name*" {
			return true
		}
		if strings.ContainsAny(word, " \t") && slices.ContainsFunc(strings.Fields(word), overridesAs) {
			return true
		}
		extended = low == "name*"
	}
	return extended
}

// formBody is a body that a scan looks through. What it finds fault with is not passed on.
type formBody struct {
	io.ReadCloser
	scan  formScan
	found *atomic.Bool
}

func (f *formBody) Read(p []byte) (int, error) {
	if f.found.Load() {
		return 0, errOverride
	}
	n, err := f.ReadCloser.Read(p)
	if f.scan.overrides(p[:n]) || err == io.EOF && f.scan.ends() {
		f.found.Store(true)
		return 0, errOverride
	}
	return n, err
}
