package capture

import (
	"bytes"
	"encoding/json"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Bounds of a place.
const (
	maxPlace  = 256 // bytes
	maxTokens = 16  // of a pointer
	maxInst   = 512 // instructions of a compiled pattern: times MaxReply is the work of the worst one
)

// place reads where a field stands.
func (f Field) place(name string) (place, error) {
	const next = `write a JSON pointer to a string, such as "/data/token", or "regex:" and a pattern with one group, such as "regex:token=(\\S+)"`
	p := place{name: name}
	switch {
	case (f.JSONPointer == "") == (f.Pattern == ""), len(f.JSONPointer) > maxPlace, len(f.Pattern) > maxPlace:
		return p, bad("a field has either a pointer or a pattern, of at most 256 bytes", next)
	case f.Pattern == "":
		tokens, ok := pointer(f.JSONPointer)
		if !ok {
			return p, bad("a JSON pointer begins with `/`, has at most 16 parts, and `~` only as ~0 or ~1", next)
		}
		p.pointer = tokens
		return p, nil
	}
	re, err := syntax.Parse(f.Pattern, syntax.Perl)
	if err != nil || re.MaxCap() != 1 {
		return p, bad("a pattern is an RE2 expression with exactly one group in round brackets", next)
	}
	if !structural(re) {
		return p, bad("a pattern is literal text around one group that takes the whole value, such as (\\S+) or ([^\"]+): it says where the value stands and asks nothing about it", next)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil || len(prog.Inst) > maxInst {
		return p, bad("a pattern is too large once its repetitions are written out", "name what stands before the value, and take it as (\\S+)")
	}
	p.pattern, err = regexp.Compile(f.Pattern)
	if err != nil {
		return p, bad("a pattern cannot be read", next)
	}
	return p, nil
}

// pointer splits an RFC 6901 pointer into its tokens.
func pointer(text string) ([]string, bool) {
	if text[0] != '/' || strings.Count(text, "/") > maxTokens {
		return nil, false
	}
	tokens := strings.Split(text[1:], "/")
	for i, t := range tokens {
		bare := strings.ReplaceAll(strings.ReplaceAll(t, "~0", ""), "~1", "")
		if strings.Contains(bare, "~") {
			return nil, false
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, true
}

// withheld is the refusal of a reply from which a field could not be cut. Which field, and why, is not told: each reason would be an answer about the reply.
func withheld() *fault.Error {
	return fault.New(fault.OutputWithheld, "nothing was captured: not every field stands in the reply, once and whole, as a value of 8 bytes or more that is new here. "+
		"The reply is not shown, for it may hold the secret elsewhere", "if a key was made, delete it at the service; then ask again with the place where the value stands. Few failures are allowed")
}

// cut gives the value of every field, or refuses. The caller wipes them.
func (p *Plan) cut(reply []byte) (values map[string]secret.Secret, err error) {
	values = map[string]secret.Secret{}
	defer func() {
		if err != nil {
			for _, v := range values {
				v.Wipe()
			}
			values = nil
		}
	}()
	if len(reply) > MaxReply {
		return values, withheld()
	}
	for _, f := range p.fields {
		v, ok := f.find(reply)
		if !ok || p.unfit(v) {
			clear(v)
			return values, withheld()
		}
		values[f.name] = secret.New(v)
	}
	return values, nil
}

// find gives a copy of the value.
func (f place) find(reply []byte) (value []byte, ok bool) {
	if f.pattern == nil {
		return walk(reply, f.pointer)
	}
	for _, m := range f.pattern.FindAllSubmatchIndex(reply, 64) {
		if m[2] < 0 || !whole(reply, m) {
			continue
		}
		v := reply[m[2]:m[3]]
		if value != nil && !bytes.Equal(value, v) { // several: which one is not ours to choose
			clear(value)
			return nil, false
		}
		if value == nil {
			value = bytes.Clone(v)
		}
	}
	return value, value != nil
}

// Bounds of the words that a value is a piece of.
const (
	maxAround = 4 << 10 // bytes
	maxWords  = 64
)

// around gives the words of the reply that hold v and more: a pattern may have taken a part of a token, and the rest of it is as secret.
func around(reply, v []byte) (words []secret.Secret) {
	ends := func(c byte) bool { return c <= ' ' || bytes.IndexByte([]byte("\"'`,;<>(){}[]"), c) >= 0 }
	for at := 0; len(words) < maxWords; {
		i := bytes.Index(reply[at:], v)
		if i < 0 {
			break
		}
		lo, hi := at+i, at+i+len(v)
		at = hi
		for lo > 0 && at-lo < maxAround && !ends(reply[lo-1]) {
			lo--
		}
		for hi < len(reply) && hi-lo < maxAround && !ends(reply[hi]) {
			hi++
		}
		if hi-lo > len(v) {
			words = append(words, secret.New(bytes.Clone(reply[lo:hi])))
		}
	}
	return words
}

// walk follows a pointer to a string.
func walk(raw json.RawMessage, tokens []string) ([]byte, bool) {
	if !json.Valid(raw) {
		return nil, false
	}
	for _, t := range tokens {
		next := step(bytes.TrimSpace(raw), t)
		if next == nil {
			return nil, false
		}
		raw = next
	}
	var s string
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return nil, false
	}
	return []byte(s), true
}

// step gives the member or element that a token names; nil for none. A name that stands twice is none: readers differ in which one they take.
func step(raw json.RawMessage, token string) json.RawMessage {
	switch {
	case len(raw) == 0:
		return nil
	case raw[0] == '[':
		var all []json.RawMessage
		n, err := strconv.Atoi(token)
		if err != nil || strconv.Itoa(n) != token || json.Unmarshal(raw, &all) != nil || n < 0 || n >= len(all) {
			return nil
		}
		return all[n]
	case raw[0] == '{':
		return member(raw, token)
	}
	return nil
}

func member(raw json.RawMessage, name string) (found json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		var v json.RawMessage
		if err != nil || d.Decode(&v) != nil {
			return nil
		}
		if key != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = v
	}
	return found
}

// longWord is how long a value of one sort of characters must be to be none that people write, in bytes.
const longWord = 16

// masked stands for what the redactor covered before: a value of it is one that the vault has already.
const masked = "********"

// sortOf parts letters of either case, digits and the rest: a value of one sort alone is a word, and to mask a word would spoil everybody's output.
func sortOf(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return 0
	case 'A' <= c && c <= 'Z':
		return 1
	case '0' <= c && c <= '9':
		return 2
	}
	return 3
}

// unfit tells whether a value is no new secret: too short to be kept out of output, too long, a word, a few characters repeated, masked in part, or what anybody can
// read.
func (p *Plan) unfit(v []byte) bool {
	different, sorts := map[byte]bool{}, map[int]bool{}
	for _, c := range v {
		different[c] = true
		sorts[sortOf(c)] = true
	}
	return len(v) < leastValue || len(v) > kind.MaxField || len(different) < fewest || len(sorts) < 2 && len(v) < longWord || bytes.Contains(v, []byte(masked)) || bytes.Contains(v, []byte("[redacted:")) ||
		slices.ContainsFunc(p.public, func(s string) bool { return strings.EqualFold(s, string(v)) })
}
