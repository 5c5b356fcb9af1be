package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/internal/spell"
)

// Limits of what a record keeps.
const (
	maxText   = 200 // bytes of one text
	maxDetail = 16  // entries
	maxLine   = 16 << 10
)

const (
	chainDomain = "zavhoz audit record 1\x00"
	hashKey     = `,"hash":"`
	hashHex     = 2 * sha256.Size
	tailSize    = len(hashKey) + hashHex + len(`"}`)
)

var genesis = strings.Repeat("0", hashHex)

// encode gives a record's one spelling: JSON in order of the fields, no escapes but what JSON needs, the hash last. The hash is over the
// domain and all bytes before `,"hash":`, so over every byte that says anything; prev is among them.
func encode(r Record) (line []byte, hash string, err error) {
	r.Hash = genesis
	b, err := spellRecord(append(make([]byte, 0, 1024), chainDomain...), &r)
	if err != nil {
		return nil, "", err
	}
	line = b[len(chainDomain):]
	sum := sha256.Sum256(b[:len(b)-tailSize])
	hash = hex.EncodeToString(sum[:])
	copy(line[len(line)-len(`"}`)-hashHex:], hash)
	return line, hash, nil
}

// spellRecord appends r as encoding/json writes it without escapes for HTML.
func spellRecord(b []byte, r *Record) ([]byte, error) {
	o := spell.BeginBare(b)
	o.Int("format", r.Format)
	o.Text("writer", r.Writer)
	o.Uint("seq", r.Seq)
	o.Time("time", r.Time)
	o.Name("actor")
	o.Open()
	o.Text("type", string(r.Actor.Type))
	o.SomeText("id", r.Actor.ID)
	o.Text("name", r.Actor.Name)
	o.SomeText("door", r.Actor.Door)
	o.SomeText("context", r.Actor.Context)
	o.Close()
	o.Text("action", string(r.Action))
	o.Text("outcome", string(r.Outcome))
	o.SomeText("subject", r.Subject)
	o.SomeText("handle", r.Handle)
	o.SomeText("code", r.Code)
	o.SomeTexts("detail", r.Detail)
	if r.Count != 0 {
		o.Uint("count", r.Count)
	}
	o.Text("prev", r.Prev)
	o.Text("hash", r.Hash)
	return o.End()
}

// hashOf hashes what a line says; "" where the line does not end as ours do.
func hashOf(line []byte) string {
	n := len(line) - tailSize
	if n < 0 || !bytes.HasPrefix(line[n:], []byte(hashKey)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return ""
	}
	h := sha256.New()
	h.Write([]byte(chainDomain))
	h.Write(line[:n])
	return hex.EncodeToString(h.Sum(nil))
}

// decode reads a line strictly: it must be spelled as encode would, with its own hash.
func decode(line []byte) (Record, bool) {
	var r Record
	if len(line) > maxLine {
		return r, false
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil || r.Format != 1 {
		return r, false
	}
	again, hash, err := encode(r)
	return r, err == nil && hash == r.Hash && bytes.Equal(again, line)
}

// clean bounds and tames the texts of an event: what comes from a client must neither fill the log nor play tricks on who reads it in a
// terminal.
func clean(e Event) Event {
	e.Actor.ID, e.Actor.Name = tame(e.Actor.ID), tame(e.Actor.Name)
	e.Actor.Door, e.Actor.Context = tame(e.Actor.Door), tame(e.Actor.Context)
	e.Actor.Type, e.Action, e.Outcome = ActorType(tame(string(e.Actor.Type))), Action(tame(string(e.Action))), Outcome(tame(string(e.Outcome)))
	e.Subject, e.Handle, e.Code = tame(e.Subject), tame(e.Handle), tame(e.Code)
	if len(e.Detail) == 0 {
		e.Detail = nil
		return e
	}
	names := slices.Sorted(maps.Keys(e.Detail))
	detail := make(map[string]string, len(names))
	for _, k := range names[:min(len(names), maxDetail)] {
		detail[tame(k)] = tame(e.Detail[k])
	}
	e.Detail = detail
	return e
}

// tame cuts s to maxText bytes and drops control characters, direction overrides and invalid UTF-8.
func tame(s string) string {
	if len(s) <= maxText && plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hostile(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > maxText {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func hostile(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
