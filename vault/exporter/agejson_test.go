package exporter

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

func text(s string) wire.Node { return wire.Node{Kind: wire.String, Text: secret.FromString(s)} }

// The buffer of the plain text is never grown: what append moves away from would stay in memory.
func TestThePlainTextIsWrittenOnce(t *testing.T) {
	worst := strings.Repeat("\x1f", 100)
	m := func(items ...wire.Item) wire.Node { return wire.Node{Kind: wire.Map, Items: items} }
	for name, doc := range map[string]wire.Node{
		"empty": m(), "nothing": text(""), "worst value": text(worst), "worst key": m(wire.Item{Key: worst, Value: m()}), "wide": m(wire.Item{Key: worst, Value: text(worst)}, wire.Item{Key: "b", Value: text(worst)}),
		"bare": m(wire.Item{Value: text("")}, wire.Item{Value: m()}, wire.Item{Value: m(wire.Item{Value: m(wire.Item{Value: text("")})})}), "one": m(wire.Item{Key: "\x01", Value: m(wire.Item{Key: "\x01", Value: text("\x01")})}),
	} {
		most := size(doc) + 1
		got := append(appendJSON(make([]byte, 0, most), doc), '\n')
		if len(got) > most || !json.Valid(got) {
			t.Errorf("%s: %d bytes of %d: %q", name, len(got), most, got)
		}
	}
}

// Every byte that JSON does not take as it is comes back: C0 characters, quotes, backslashes.
func TestEveryCharacterComesBack(t *testing.T) {
	var all strings.Builder
	for r := range rune(0x250) {
		all.WriteRune(r)
	}
	all.WriteString("\u2028\u2029\U0001f511")
	var back string
	if err := json.Unmarshal(appendJSON(nil, text(all.String())), &back); err != nil || back != all.String() {
		t.Errorf("%v: %q", err, back)
	}
	if got := string(appendJSON(nil, text("a b\x1f\x20\x7f~"))); got != "\"a b\\u001f \x7f~\"" {
		t.Errorf("%s", got)
	}
}

// What is encrypted, and what cannot be, is wiped: age keeps post-quantum recipients apart from others.
func TestThePlainTextIsWiped(t *testing.T) {
	old, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   []age.Recipient
		code fault.Code
	}{
		{[]age.Recipient{old.Recipient()}, ""}, {[]age.Recipient{hybrid.Recipient()}, ""}, {[]age.Recipient{old.Recipient(), hybrid.Recipient()}, fault.InvalidArgument},
	} {
		plain := append(make([]byte, 0, 64), "hunter2hunter2"...)
		out, err := sealed(plain, c.to)
		if fault.CodeOf(err) != c.code || (err == nil) != (len(out) > 0) {
			t.Errorf("%v, %d bytes, want %q", err, len(out), c.code)
		}
		if !bytes.Equal(plain[:cap(plain)], make([]byte, 64)) {
			t.Errorf("%d recipients: %q stays in memory", len(c.to), plain)
		}
	}
}
