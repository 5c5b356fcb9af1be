package egress

import (
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// blank is where a value goes in the text of a Swap; open stands for any text, as one half of a basic login.
const (
	blank = "{value}"
	open  = "*"
)

var (
	errSwap  = errors.New("egress: a place for a value is not valid")
	errValue = errors.New("egress: the value cannot stand in its place")
)

// slot is a Swap, read.
type slot struct {
	placeholder  string
	header       string
	head, tail   string // around the value: of the header, or of the path segment
	basic        bool
	user         bool   // under basic: the value is the user, and other the password
	other        string // the other half; open: any
	before       []string
	more         bool // the path goes on behind the segment
	shown        string
	value        func() (secret.Secret, error)
	resourceName string
}

// newSlot reads a Swap.
func newSlot(handle string, s Swap) (*slot, error) {
	t := &slot{placeholder: s.Placeholder, header: s.Header, basic: s.Basic, value: s.Value, resourceName: handle, shown: s.Path}
	if len(s.Placeholder) < minPlaceholder || s.Value == nil || (s.Header == "") == (s.Path == "") {
		return nil, errSwap
	}
	text := s.Template
	if s.Path != "" {
		segments := strings.Split(strings.Trim(s.Path, "/"), "/")
		t.before, text, t.more = segments[:len(segments)-1], segments[len(segments)-1], strings.HasSuffix(s.Path, "/")
	} else if s.Basic {
		left, right, ok := strings.Cut(text, ":")
		switch {
		case !ok:
			return nil, errSwap
		case left == blank:
			t.user, t.other = true, right
			return t, nil
		case right == blank:
			t.other = left
			return t, nil
		}
		return nil, errSwap
	}
	head, tail, ok := strings.Cut(text, blank)
	if !ok || strings.Contains(tail, blank) {
		return nil, errSwap
	}
	t.head, t.tail = head, tail
	return t, nil
}

// minPlaceholder is the least length in bytes: shorter ones would be met by chance.
const minPlaceholder = 16

// inHeader tells whether a header's value is exactly this slot with its placeholder in it, and gives the other half of a basic login.
func (t *slot) inHeader(name, value string) (other string, ok bool) {
	if t.header != name {
		return "", false
	}
	if t.basic {
		user, password, ok := parseBasic(value)
		other, mine := user, password
		if t.user {
			other, mine = password, user
		}
		return other, ok && mine == t.placeholder && (t.other == open || t.other == other)
	}
	n := len(t.head) + len(t.placeholder) + len(t.tail)
	return "", len(value) == n && strings.EqualFold(value[:len(t.head)], t.head) && value[len(t.head):n-len(t.tail)] == t.placeholder && value[n-len(t.tail):] == t.tail
}

// inPath tells whether a normal path has the slot with its placeholder in it.
func (t *slot) inPath(path string) bool {
	if t.header != "" {
		return false
	}
	segments := strings.SplitN(path, "/", len(t.before)+3)[1:]
	i := len(t.before)
	if len(segments) <= i || (len(segments) > i+1) != t.more {
		return false
	}
	for k, want := range t.before {
		if segments[k] != want {
			return false
		}
	}
	return segments[i] == t.head+t.placeholder+t.tail
}

// fill gives the header's value with the true value in it.
func (t *slot) fill(other string, v secret.Secret) (string, error) {
	b := v.Reveal()
	if len(b) == 0 {
		return "", errValue
	}
	if t.basic {
		login := other + ":" + string(b)
		if t.user {
			if strings.IndexByte(string(b), ':') >= 0 {
				return "", errValue
			}
			login = string(b) + ":" + other
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(login)), nil
	}
	text := t.head + string(b) + t.tail
	if !httpguts.ValidHeaderFieldValue(text) || blankEnds(text) { // a blank at the end is not part of a header's value, so another value would arrive
		return "", errValue
	}
	return text, nil
}

func blankEnds(s string) bool {
	isBlank := func(c byte) bool { return c == ' ' || c == '\t' }
	return isBlank(s[0]) || isBlank(s[len(s)-1])
}

// fillPath gives the raw path with the true value in its segment. All other segments stay as the command wrote them.
func (t *slot) fillPath(raw string, v secret.Secret) (string, error) {
	b := v.Reveal()
	segments := strings.Split(raw, "/")
	i := len(t.before) + 1
	if len(b) == 0 || len(segments) <= i {
		return "", errValue
	}
	segments[i] = escapeSegment(t.head + string(b) + t.tail)
	return strings.Join(segments, "/"), nil
}

// escapeSegment writes a path segment so that it stays one: everything but what RFC 3986 lets stand in a segment is escaped.
func escapeSegment(s string) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// parseBasic reads the value of an Authorization header of that scheme.
func parseBasic(value string) (user, password string, ok bool) {
	const scheme = "Basic "
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value[len(scheme):]))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}
