package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// bodies are the calls that take one, each with a body that is well-formed for it.
var bodies = []struct{ method, path, body string }{
	{"POST", "/resources", `{"kind":"generic","handle":"g","secrets":{"value":"` + canary + `"}}`},
	{"PATCH", "/resources/bot", `{"why":"x"}`},
	{"POST", "/resources/bot/rename", `{"handle":"bot"}`},
	{"POST", "/resources/bot/rollback", `{"version":1}`},
	{"PUT", "/resources/bot/policy", `{"policy":{}}`},
	{"POST", "/agents", `{"name":"two"}`},
	{"POST", "/projects", `{"slug":"third"}`},
	{"PATCH", "/projects/other", `{"title":"x"}`},
	{"POST", "/projects/other/config/secrets", `{"secrets":{"A":"` + canary + `"}}`},
	{"POST", "/projects/other/config/secrets/DATABASE_URL/rollback", `{"version":1}`},
	{"POST", "/projects/other/config/secrets/DATABASE_URL/purge", `{"all":true}`},
	{"POST", "/approvals/changes:run_held", `{"decision":"deny"}`},
	{"POST", "/servers/x/adopt", `{"handle":"h"}`},
	{"POST", "/servers/x/manage", `{"intent":"no"}`},
	{"POST", "/runs/open", `{"refs":["bot"],"command":["env"]}`},
	{"POST", "/runs/x/end", `{"state":"exited"}`},
	{"POST", "/presence", `{"passphrase":"x"}`},
	{"PUT", "/presence", `{"passphrase":"x"}`},
}

// TestAttack67_BodiesAreStrict: what is not exactly the JSON of a call does nothing, and is not repeated.
func TestAttack67_BodiesAreStrict(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	h.fill(c)
	for _, x := range bodies {
		first := x.body[1:strings.IndexByte(x.body, ':')]
		for name, body := range map[string]string{
			"empty":         "",
			"blank":         " \n",
			"null":          "null",
			"a list":        "[" + x.body + "]",
			"a string":      `"` + canary + `"`,
			"not JSON":      canary,
			"cut":           x.body[:len(x.body)-1],
			"two":           x.body + x.body,
			"a bracket":     x.body + "]",
			"a brace":       x.body + "}",
			"text after":    x.body + " " + canary,
			"unknown field": `{"` + canary + `":1,` + x.body[1:],
			"twice":         `{` + first + `:null,` + x.body[1:],
			"other case":    strings.Replace(x.body, first, strings.ToUpper(first), 1),
			"wrong type":    `{` + first + `:{"` + canary + `":[]}}`,
			"not UTF-8":     `{` + first + ":\"\xff\"}",
			"deep":          `{` + first + `:` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
			"very deep":     strings.Repeat(`{"a":`, 200_000),
		} {
			if a := c.do(x.method, x.path, body); a.code() != fault.InvalidArgument {
				t.Errorf("%s %s, %s: %d %s", x.method, x.path, name, a.status, a.body)
			}
		}
		c.refused(fault.TooLarge, x.method, x.path, `{"why":"`+strings.Repeat("x", 4<<20)+`"}`)
	}
	if a := c.ok("GET", "/resources/bot", ""); a.get("version") != 2.0 {
		t.Errorf("something changed: %s", a.body)
	}
	if a := c.ok("GET", "/agents", ""); strings.Contains(a.body, `"name":"two"`) {
		t.Error(a.body)
	}
}

// A body whose length is not said, and one that is shorter than it says.
func TestBodiesOfOtherLengths(t *testing.T) {
	h := newHouse(t)
	send := func(body io.Reader, length int64) int {
		r := httptest.NewRequest("POST", "/api/v1/projects", body)
		r.ContentLength = length
		w := httptest.NewRecorder()
		h.web.ServeHTTP(w, r)
		return w.Code
	}
	for _, x := range []struct {
		body   string
		length int64
		want   int
	}{
		{`{"slug":"one"}`, -1, 201}, {`{"slug":"two"}`, 100, 400}, {`{"slug":"` + strings.Repeat("x", 5<<20) + `"}`, -1, 413}, {`{"slug":"` + strings.Repeat("x", 5<<20) + `"}`, 5 << 20, 413},
	} {
		if got := send(io.MultiReader(strings.NewReader(x.body)), x.length); got != x.want {
			t.Errorf("%.20s of %d: %d", x.body, x.length, got)
		}
	}
}

// A value is kept as it came, to the byte, or refused: never mended.
func TestValuesAreNotMended(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	for _, bad := range []string{"\"bad\xff\xfebytes-of-a-key\"", `"half \ud800 of a pair"`, `5`, `null`, `["a"]`, `{"a":"b"}`} {
		c.refused(fault.InvalidArgument, "POST", "/resources", `{"kind":"generic","handle":"g","secrets":{"value":`+bad+`}}`)
	}
	c.ok("POST", "/resources", `{"kind":"generic","handle":"g","secrets":{"value":"\u0441\u0435\u043a\u0440\u0435\u0442 \ud83d\ude00"}}`)
}

// FuzzBodies: whatever comes, every call answers with JSON of ours, never with the status of a defect, and nothing of a value.
func FuzzBodies(f *testing.F) {
	for i, x := range bodies {
		f.Add(uint8(i), x.body)
	}
	f.Add(uint8(4), `{"policy":{"hosts":[{"host":"a.example","port":-1}],"expires_at":"2026-01-01T00:00:00Z","max_uses":1e3}}`)
	h := newHouse(f)
	h.fill(h.sit(1))
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		x := bodies[int(which)%len(bodies)]
		if x.path == "/presence" {
			return // takes 64 MiB and a tenth of a second each time, and has a body as plain as the others
		}
		w := httptest.NewRecorder()
		h.web.ServeHTTP(w, httptest.NewRequest(x.method, "/api/v1"+x.path, strings.NewReader(body)))
		if w.Code == http.StatusInternalServerError || w.Code == 0 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/") {
			t.Fatalf("%s %s %q: %d %s", x.method, x.path, body, w.Code, w.Body)
		}
		if w.Code >= 400 && strings.Contains(w.Body.String(), canary) {
			t.Fatalf("%s %s repeats: %s", x.method, x.path, w.Body)
		}
	})
}
