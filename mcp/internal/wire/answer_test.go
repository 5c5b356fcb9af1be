package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// What is read of an answer is what any decoder reads of it, and nothing where two could differ.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"action":"accept"}`, `{"action":"decline","content":{"a":[1,{}]}}`, `{"Action":"accept"}`, `{"action":"accept","action":"cancel"}`, `{"action":"\u0061ccept"}`, `{"action":1}`, `{"action":`, `{}`, `[]`, `null`, ``,
		`{"person":{"action":"accept"}}`, `{"person":{"action":"accept"},"other":5}`, `{"person":"accept"}`, `{"elicitation":{}}`, `{"elicitation":{"form":{},"url":{}}}`, `{"elicitation":{"url":{}},"roots":{}}`, `{"elicitation":{"URL":{}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		one, several := wire.Action(raw), wire.ActionOf(raw, "person")
		form, url := wire.Elicits(raw)
		if !json.Valid(raw) { // a door has refused it before
			return
		}
		var lib struct {
			Action json.RawMessage `json:"action"`
			Person struct {
				Action json.RawMessage `json:"action"`
			} `json:"person"`
			Elicitation struct {
				Form json.RawMessage `json:"form"`
				URL  json.RawMessage `json:"url"`
			} `json:"elicitation"`
		}
		_ = json.Unmarshal(raw, &lib)
		text := func(r json.RawMessage) (s string) {
			_ = json.Unmarshal(r, &s)
			return s
		}
		if one != "" && (one != text(lib.Action) || !strings.Contains("accept decline cancel", one)) {
			t.Fatalf("%q: %q", raw, one)
		}
		if several != "" && several != text(lib.Person.Action) {
			t.Fatalf("%q: %q", raw, several)
		}
		if url && (len(lib.Elicitation.URL) == 0 || lib.Elicitation.URL[0] != '{') || form && len(lib.Elicitation.Form) > 0 && lib.Elicitation.Form[0] != '{' {
			t.Fatalf("%q: form %t, page %t", raw, form, url)
		}
	})
}
