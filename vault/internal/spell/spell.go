// Package spell writes JSON as encoding/json does, without reflection, for the few records that every write of a vault encodes.
//
// Promise: what it appends is, byte for byte, what json.Marshal gives of the same value. A record's bytes lie under its MAC and an audit record's under the
// chain's hash, so one value has one spelling, whoever wrote it; tests hold each encoder made with it against encoding/json over random values. Any text that
// is more than plain ASCII is left to encoding/json itself.
//
// Limits: it knows the types that those records have, and reads nothing.
package spell

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Object is a JSON object under way. Names are the caller's words: plain ASCII with nothing to escape.
type Object struct {
	b    []byte
	bare bool
	err  error
}

// Begin appends the begin of an object to b.
func Begin(b []byte) Object { return Object{b: append(b, '{')} }

// BeginBare is Begin of one that leaves <, > and & as they are, as a json.Encoder does after SetEscapeHTML(false).
func BeginBare(b []byte) Object { return Object{b: append(b, '{'), bare: true} }

// End closes the object and gives all that was appended. Errors: of a time or a value that JSON cannot say.
func (o *Object) End() ([]byte, error) { return append(o.b, '}'), o.err }

// Name begins a member, whose value comes next.
func (o *Object) Name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

// Key is Name for any text.
func (o *Object) Key(key string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.text(key)
	o.b = append(o.b, ':')
}

// Text writes a member that is a text.
func (o *Object) Text(name, s string) {
	o.Name(name)
	o.text(s)
}

// SomeText is Text that leaves an empty one out.
func (o *Object) SomeText(name, s string) {
	if s != "" {
		o.Text(name, s)
	}
}

// Int writes a number.
func (o *Object) Int(name string, n int) {
	o.Name(name)
	o.b = strconv.AppendInt(o.b, int64(n), 10)
}

// Uint writes a number.
func (o *Object) Uint(name string, n uint64) {
	o.Name(name)
	o.b = strconv.AppendUint(o.b, n, 10)
}

// Time writes a time.
func (o *Object) Time(name string, t time.Time) {
	o.Name(name)
	b, err := t.AppendText(append(o.b, '"'))
	if err != nil {
		o.err = err
		return
	}
	o.b = append(b, '"')
}

// SomeTexts writes a member that is an object of texts, its names in order; it leaves an empty one out.
func (o *Object) SomeTexts(name string, m map[string]string) {
	if len(m) > 0 {
		o.Name(name)
		o.Texts(m)
	}
}

// Texts writes a value that is an object of texts, its names in order; nil as an empty one.
func (o *Object) Texts(m map[string]string) { Map(o, m, o.text) }

// Map writes a value that is an object, its names in order; each writes the value under one, by methods of o.
func Map[V any](o *Object, m map[string]V, each func(V)) {
	o.Open()
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		o.Key(k)
		each(m[k])
	}
	o.Close()
}

// Open begins an object within a value, and Close ends it.
func (o *Object) Open() { o.b = append(o.b, '{') }

// Close ends what Open began.
func (o *Object) Close() { o.b = append(o.b, '}') }

// Any writes a value as encoding/json does.
func (o *Object) Any(v any) {
	raw, err := o.marshal(v)
	if err != nil {
		o.err = err
		return
	}
	o.b = append(o.b, raw...)
}

func (o *Object) text(s string) {
	if !o.plain(s) {
		o.Any(s)
		return
	}
	o.b = append(append(append(o.b, '"'), s...), '"')
}

// plain tells whether encoding/json writes s as it is.
func (o *Object) plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == '"' || c == '\\' || !o.bare && (c == '<' || c == '>' || c == '&') {
			return false
		}
	}
	return true
}

func (o *Object) marshal(v any) ([]byte, error) {
	if !o.bare {
		return json.Marshal(v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
