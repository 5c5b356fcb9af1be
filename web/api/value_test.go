package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func TestValuesComeWhole(t *testing.T) {
	for _, c := range []struct{ literal, want string }{
		{`"plain"`, "plain"}, {`""`, ""}, {`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"}, {`"\u0041\u00e9\u20AC"`, "Aé€"}, {`"\ud83d\ude00"`, "😀"}, {`"ключ"`, "ключ"}, {`"\ufffd"`, "\ufffd"},
	} {
		var v api.Value
		if err := json.Unmarshal([]byte(c.literal), &v); err != nil || string(v.Reveal()) != c.want {
			t.Errorf("%s: %q %v", c.literal, v.Reveal(), err)
		}
	}
}

// What is no string, or no text, is refused and not mended: a key with U+FFFD in it opens nothing.
func TestValuesAreNotMended(t *testing.T) {
	for _, bad := range []string{`5`, `null`, `{"a":"b"}`, `["a"]`, `true`, `"\ud800"`, `"\ud800x"`, `"\ud800\u0041"`, `"\udc00\ud800"`, "\"\xff\""} {
		var v api.Value
		if err := v.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %q", bad, v.Reveal())
		}
	}
}

func TestValuesDoNotPrint(t *testing.T) {
	v := api.Value{Secret: secret.FromString("canary-5512-value")}
	b, err := json.Marshal(map[string]any{"v": v, "p": &v})
	if text := fmt.Sprintf("%v %+v %#v %s", v, v, v, b); err != nil || bytes.Contains([]byte(text), []byte("canary")) {
		t.Errorf("%s %v", text, err)
	}
}

// FuzzValue: what is taken is what Go's decoder reads, but for what that mends; and what Quote writes comes back.
func FuzzValue(f *testing.F) {
	for _, s := range []string{`"a"`, `"\u00e9\n"`, `"\ud83d\ude00"`, `"\ud800"`, `"\`, `"`, `"a"b"`, "\"\n\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v api.Value
		err := v.UnmarshalJSON(b)
		var s string
		if goErr := json.Unmarshal(b, &s); err == nil && (goErr != nil || s != string(v.Reveal())) {
			t.Fatalf("%q: taken as %q, Go reads %q %v", b, v.Reveal(), s, goErr)
		} else if err != nil && goErr == nil && len(bytes.TrimSpace(b)) == len(b) && b[0] == '"' && utf8.Valid(b) && !bytes.ContainsRune([]byte(s), utf8.RuneError) {
			t.Fatalf("%q is refused, Go reads %q", b, s)
		}
		if !utf8.Valid(b) {
			return
		}
		var back api.Value
		if err := back.UnmarshalJSON(api.Quote(secret.New(b))); err != nil || !bytes.Equal(back.Reveal(), b) {
			t.Fatalf("%q came back as %q %v", b, back.Reveal(), err)
		}
	})
}
