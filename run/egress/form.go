package egress

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
)

// errOverride ends the body of a request whose form names another method. The host never gets the end of it.
var errOverride = errors.New("egress: the form overrides the method")

// Bounds of what is looked at, in bytes.
const (
	maxFieldName   = 256     // of a field's name as it is written, without blanks before it: the names that count are shorter
	maxPartHeader  = 8 << 10 // of a part's header; a longer one is taken for one that hides something
	maxBoundary    = 200
	maxJSONName    = 128 // of a JSON name as it is written
	formURLEncoded = "application/x-www-form-urlencoded"
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
	types := h["Content-Type"]
	if len(types) == 0 { // some servers then take it for a form
		return &fieldScan{}, len(h["Content-Encoding"]) > 0
	}
	all := strings.ToLower(strings.Join(types, ","))
	isForm, isParts, isJSON := strings.Contains(all, "form-urlencoded"), strings.Contains(all, "multipart"), strings.Contains(all, "json")
	switch {
	case !isForm && !isParts && !isJSON:
		return nil, false
	case len(types) > 1 || encoded(h):
		return nil, true
	}
	t, params, err := mime.ParseMediaType(types[0])
	switch {
	case isParts:
		b := params["boundary"]
		if err != nil || !strings.HasPrefix(t, "multipart/") || b == "" || len(b) > maxBoundary || strings.Count(all, "boundary") != 1 {
			return nil, true
		}
		return &partScan{boundary: []byte("--" + b)}, false
	case isForm:
		return &fieldScan{}, false
	}
	return &nameScan{}, false
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

// take adds to the name, blanks before it left out.
func (f *fieldScan) take(b []byte) {
	for len(b) > 0 && len(f.name) < maxFieldName {
		n := min(len(b), maxFieldName-len(f.name))
		f.name, b = append(f.name, b[:n]...), b[n:]
		kept := f.name
		for {
			kept = bytes.TrimLeft(kept, "+ \t\r\n\v\f\x00")
			if len(kept) < 3 || kept[0] != '%' || !isHex(kept[1]) || !isHex(kept[2]) || unhex(kept[1])<<4|unhex(kept[2]) > ' ' {
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
			end, width := headerEnd(p.header)
			switch {
			case end >= 0:
				b = append(bytes.Clone(p.header[end+width:]), b...)
				if p.ends() {
					return true
				}
			case len(p.header) > maxPartHeader:
				return true
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

// headerEnd finds the empty line, however its ends of line are written.
func headerEnd(b []byte) (at, width int) {
	at = -1
	for _, end := range []string{"\r\n\r\n", "\n\n", "\r\r", "\n\r\n"} {
		if i := bytes.Index(b, []byte(end)); i >= 0 && (at < 0 || i < at) {
			at, width = i, len(end)
		}
	}
	return at, width
}

// ends looks at the words of a part's header: any of them may be its name.
func (p *partScan) ends() bool {
	text := strings.ReplaceAll(string(p.header), "\\", "")
	p.header = nil
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune("=;\"'\r\n,:", c) }) {
		if overridesAs(unescaped(word)) || overridesAs(word) {
			return true
		}
	}
	return false
}

// nameScan reads the texts of a JSON body: one that is such a name, as a key or not.
type nameScan struct {
	inText, escaped bool
	text            []byte
}

func (n *nameScan) overrides(b []byte) bool {
	for _, c := range b {
		switch {
		case !n.inText:
			n.inText = c == '"'
		case n.escaped:
			n.escaped = false
			n.add('\\', c)
		case c == '\\':
			n.escaped = true
		case c == '"':
			n.inText = false
			if n.ends() {
				return true
			}
		default:
			n.add(c)
		}
	}
	return false
}

func (n *nameScan) add(c ...byte) {
	if len(n.text) <= maxJSONName {
		n.text = append(n.text, c...)
	}
}

func (n *nameScan) ends() bool {
	name := string(n.text)
	n.text = n.text[:0]
	if len(name) > maxJSONName {
		return false
	}
	if strings.IndexByte(name, '\\') >= 0 {
		name = unquoted(name)
	}
	return overridesAs(name)
}

// unquoted decodes the \u escapes of a JSON text; others stand in no name that counts.
func unquoted(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' && s[2] == '0' && s[3] == '0' && isHex(s[4]) && isHex(s[5]) {
			out.WriteByte(unhex(s[4])<<4 | unhex(s[5]))
			s = s[6:]
			continue
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String()
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
