package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/secret"
)

const value = "canary-7f3a9c51d2e8"

type holder struct {
	Public secret.Secret
	hidden secret.Secret
	deep   struct{ p *secret.Secret }
}

func TestNothingPrintsASecret(t *testing.T) {
	s := secret.FromString(value)
	h := holder{Public: s, hidden: s}
	h.deep.p = &s
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "%10s", "%-10v"} {
		for _, v := range []any{s, &s, h, &h, []secret.Secret{s}, map[string]secret.Secret{"k": s}, []any{h}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("m", "s", s, "h", h, "p", &h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "h", h)
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	x, _ := xml.Marshal(struct{ S secret.Secret }{s})
	out.Write(x)
	if err := gob.NewEncoder(&out).Encode(struct{ S secret.Secret }{s}); err == nil {
		t.Error("gob encoded a secret")
	}
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(h)
	}()
	text := out.String()
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprint([]byte(value)), strings.Trim(fmt.Sprint([]byte(value)), "[]")} {
		if strings.Contains(text, form) {
			t.Errorf("a printed form holds %q", form)
		}
	}
}

func TestWipeErasesEveryCopy(t *testing.T) {
	b := []byte(value)
	s := secret.New(b)
	c := s
	clone := s.Clone()
	s.Wipe()
	if c.Reveal() != nil || !c.IsZero() {
		t.Error("a copy outlived Wipe")
	}
	for _, x := range b {
		if x != 0 {
			t.Fatal("the buffer was not overwritten")
		}
	}
	if string(clone.Reveal()) != value {
		t.Error("a clone must outlive Wipe")
	}
	secret.Secret{}.Wipe()
}

func TestDecodersRefuse(t *testing.T) {
	var s secret.Secret
	if err := json.Unmarshal([]byte(`"x"`), &s); err == nil {
		t.Error("JSON decoded into a Secret")
	}
}
