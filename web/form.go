package web

import (
	"encoding/hex"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// form is a page's form: each name once, its value in bytes that can be wiped. net/http's own makes strings, which cannot.
type form map[string][]byte

func (f form) wipe() {
	for _, v := range f {
		clear(v)
	}
}

func (f form) has(name string) bool { _, ok := f[name]; return ok }

// text is a value that is no secret.
func (f form) text(name string) string { return strings.TrimSpace(string(f[name])) }

var errForm = fault.New(fault.InvalidArgument, "the form could not be read", "open the page again, and send it once more")

// readForm reads an application/x-www-form-urlencoded body, strictly, and wipes it.
func readForm(w http.ResponseWriter, r *http.Request) (form, error) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	body, err := all(r)
	defer clear(body)
	if err != nil {
		return nil, fault.New(fault.TooLarge, "the form could not be read, or is larger than 4 MiB", "")
	}
	return parseForm(body)
}

// parseForm takes a form's body apart: strict percent-encoding, UTF-8, no name twice.
func parseForm(body []byte) (form, error) {
	f := form{}
	for len(body) > 0 {
		pair := body
		for i, c := range body {
			if c == '&' {
				pair = body[:i]
				break
			}
		}
		body = body[min(len(pair)+1, len(body)):]
		at := len(pair)
		for i, c := range pair {
			if c == '=' {
				at = i
				break
			}
		}
		name, ok := percentDecoded(pair[:at])
		value, also := percentDecoded(pair[min(at+1, len(pair)):])
		if _, twice := f[string(name)]; twice || !ok || !also || len(name) == 0 {
			clear(value)
			f.wipe()
			return nil, errForm
		}
		f[string(name)] = value
	}
	return f, nil
}

// percentDecoded decodes into fresh bytes; ok is false for what is no text.
func percentDecoded(in []byte) (out []byte, ok bool) {
	out = make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '+':
			out = append(out, ' ')
		case c != '%':
			out = append(out, c)
		case i+2 < len(in):
			var b [1]byte
			if _, err := hex.Decode(b[:], in[i+1:i+3]); err != nil {
				clear(out)
				return nil, false
			}
			out = append(out, b[0])
			i += 2
		default:
			clear(out)
			return nil, false
		}
	}
	if !utf8.Valid(out) {
		clear(out)
		return nil, false
	}
	return out, true
}
