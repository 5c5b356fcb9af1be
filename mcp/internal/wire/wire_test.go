package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

func TestParse(t *testing.T) {
	m, bad := wire.Parse([]byte(` {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"e\u0063ho","arguments":{"Name":1,"name":2},` +
		`"_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}} `))
	if bad != nil {
		t.Fatal(bad)
	}
	if string(m.ID) != "7" || m.Method != "tools/call" || m.Name != "echo" || string(m.Progress) != `"p"` || m.Version != "2026-07-28" || !m.Request() {
		t.Errorf("read %+v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
	}
	tests := []struct {
		name, raw string
		code      int
		id        string
	}{
		{"empty", ``, wire.CodeParse, ""},
		{"cut", `{"jsonrpc":"2.0"`, wire.CodeParse, ""},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}", wire.CodeParse, ""},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, wire.CodeInvalidRequest, ""},
		{"scalar", `"ping"`, wire.CodeInvalidRequest, ""},
		{"method twice", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, wire.CodeInvalidRequest, ""},
		{"method by case", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"notifications/cancelled"}`, wire.CodeInvalidRequest, ""},
		{"method by folding", `{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}`, wire.CodeInvalidRequest, ""},
		{"unknown key", `{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}`, wire.CodeInvalidRequest, ""},
		{"name by case", call(`{"name":"a","NAME":"b"}`), wire.CodeInvalidRequest, "1"},
		{"name by escape", call(`{"name":"a","n\u0061me":"b"}`), wire.CodeInvalidRequest, "1"},
		{"any param twice", call(`{"x":1,"x":2}`), wire.CodeInvalidRequest, "1"},
		{"meta twice", call(`{"_meta":{"progressToken":1,"progresstoken":2}}`), wire.CodeInvalidRequest, "1"},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, wire.CodeInvalidRequest, ""},
		{"object id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, wire.CodeInvalidRequest, ""},
		{"long id", `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", 200) + `","method":"ping"}`, wire.CodeInvalidRequest, ""},
		{"version", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, wire.CodeInvalidRequest, "1"},
		{"method type", `{"jsonrpc":"2.0","id":1,"method":5}`, wire.CodeInvalidRequest, "1"},
		{"params list", call(`[1]`), wire.CodeInvalidRequest, "1"},
		{"neither", `{"jsonrpc":"2.0","id":1}`, wire.CodeInvalidRequest, "1"},
		{"nothing", `{"jsonrpc":"2.0"}`, wire.CodeInvalidRequest, ""},
		{"both", `{"jsonrpc":"2.0","id":1,"result":{},"error":{}}`, wire.CodeInvalidRequest, "1"},
		{"a result of nothing", `{"jsonrpc":"2.0","result":{}}`, wire.CodeInvalidRequest, ""},
		{"a result of null", `{"jsonrpc":"2.0","id":null,"result":{}}`, wire.CodeInvalidRequest, ""},
		{"no error", `{"jsonrpc":"2.0","id":1,"error":null}`, wire.CodeInvalidRequest, "1"},
		{"a text for an error", `{"jsonrpc":"2.0","id":1,"error":"x"}`, wire.CodeInvalidRequest, "1"},
		{"deep", call(`{"arguments":` + strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60) + `}`), wire.CodeInvalidRequest, "1"},
		{"very deep", strings.Repeat("[", 20000), wire.CodeParse, ""},
	}
	for _, tt := range tests {
		m, bad := wire.Parse([]byte(tt.raw))
		if bad == nil {
			t.Errorf("%s: taken as %+v", tt.name, m)
			continue
		}
		if bad.Code != tt.code || string(m.ID) != tt.id {
			t.Errorf("%s: code %d id %q (%s)", tt.name, bad.Code, m.ID, bad.Text)
		}
	}
}

// What no request can have for an id takes none back.
func TestParseCancels(t *testing.T) {
	for id, is := range map[string]bool{`1`: true, `"a"`: true, `"\u003c"`: true, `null`: false, `{"a":1}`: false, `[1]`: false, `true`: false, `"` + strings.Repeat("x", 200) + `"`: false} {
		m, bad := wire.Parse(wire.Cancelled([]byte(id), "why"))
		if want := map[bool]string{true: id}[is]; bad != nil || !m.Cancel() || string(m.Cancels) != want {
			t.Errorf("%s: %q %v", id, m.Cancels, bad)
		}
	}
	m, bad := wire.Parse([]byte(`{"jsonrpc":"2.0","id":2,"method":"notifications/cancelled","params":{"requestId":1}}`))
	if bad != nil || m.Cancel() || !m.Request() {
		t.Errorf("a request: %+v %v", m, bad)
	}
}

func TestParseResponses(t *testing.T) {
	for raw, want := range map[string]struct{ id, result string }{
		`{"jsonrpc":"2.0","id":1,"result":{"a":1}}`:              {"1", `{"a":1}`},
		`{"jsonrpc":"2.0","id":1,"result":null}`:                 {"1", `null`},
		`{"jsonrpc":"2.0","id":1,"result":{},"error":null}`:      {"1", `{}`},
		`{"jsonrpc":"2.0","id":1,"result":null,"error":{"x":1}}`: {"1", ""},
		`{"jsonrpc":"2.0","id":"a","error":{}}`:                  {`"a"`, ""},
		`{"jsonrpc":"2.0","id":null,"error":{}}`:                 {"", ""},
		`{"jsonrpc":"2.0","error":{}}`:                           {"", ""},
	} {
		m, bad := wire.Parse([]byte(raw))
		if bad != nil || m.Request() || m.Response() != (want.id != "") || string(m.ID) != want.id || string(m.Result) != want.result {
			t.Errorf("%s: %+v %v", raw, m, bad)
		}
		if !wire.Responds([]byte(raw)) {
			t.Errorf("%s: not known for a response", raw)
		}
	}
}

// What is no message at all, or the beginning of one, is known for a response where it can be nothing else.
func TestResponds(t *testing.T) {
	for raw, is := range map[string]bool{
		` {"jsonrpc":"2.0","id":1,"result":{"text":"xxxx`: true,
		`{"id":1,"result":`:                                  true,
		`{"id":1,"error":{"message":"\xff`:                   true,
		`{"result":{nonsense},"id":1}`:                       true,
		`{"id":1,"re\u0073ult":{}}`:                          true,
		`{"jsonrpc":"2.0","id":1}`:                           true,
		`{"Result":{},"id":1}`:                               true,
		`{"id":1,"result":{},"extra":1}`:                     true,
		`{"id":1,"result":{"method":"x","params":{}}}`:       true,
		`{"id":1,"result":{},"method":"x"}`:                  false,
		`{"id":1,"result":{},"Method":"x"}`:                  false,
		`{"id":1,"result":{},"m\u0065thod":`:                 false,
		`{"id":1,"params":{"result":"xxxx`:                   false,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","par`: false,
		`{"jsonrpc":"2.0"}`:                                  false,
		`{}`:                                                 false, ``: false, `{`: false, `[{"result":1}]`: false, `"result"`: false, `result`: false, `{nonsense`: false, `{"jsonrpc":"2.0","id":1`: false, `{"id":1,"resu`: false,
	} {
		if got := wire.Responds([]byte(raw)); got != is {
			t.Errorf("%s: %t", raw, got)
		}
	}
}

func TestPeekFindsTheIDInACutMessage(t *testing.T) {
	m, _ := wire.Peek([]byte(`{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"echo","arguments":{"text":"xxxxxxxx`))
	if string(m.ID) != `"a-1"` || m.Method != "tools/call" {
		t.Errorf("peeked %+v", m)
	}
	if m, ok := wire.Peek([]byte(`{"jsonrpc":"2.0","params":{"text":"xxxxxxx`)); ok || m.ID != nil {
		t.Errorf("peeked %+v", m)
	}
}

func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	text := "one\r\n" + long + "\n\ntwo\n" + strings.Repeat("y", 100) + "\nlast"
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		lines := wire.NewReader(r, 100)
		want := []string{"one", "LONG", "", "two", strings.Repeat("y", 100), "last"}
		for i, w := range want {
			got, err := lines.Line()
			if w == "LONG" {
				if !errors.Is(err, wire.ErrLong) || len(got) == 0 || len(got) > 4096 {
					t.Fatalf("line %d: %v, %d bytes", i, err, len(got))
				}
				continue
			}
			if err != nil || string(got) != w {
				t.Fatalf("line %d: %q %v, want %q", i, got, err, w)
			}
		}
		if _, err := lines.Line(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last line: %v", err)
		}
	}
}

// What Parse reads is what encoding/json reads, case games included.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","id":"a","result":{}}`, `[]`, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":2}}}`, `{"id":1e5`, `{"a":"\"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		wire.Peek(raw)
		m, bad := wire.Parse(raw)
		responds := wire.Responds(raw)
		if bad != nil {
			return
		}
		if responds && m.Method != "" || !responds && m.Response() && !bytes.Contains(raw, []byte("params")) && !bytes.Contains(raw, []byte(`\`)) {
			t.Fatalf("%q: a response: %t, and %+v", raw, responds, m)
		}
		var lib struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name      json.RawMessage `json:"name"`
				RequestID json.RawMessage `json:"requestId"`
			} `json:"params"`
		}
		if err := json.Unmarshal(raw, &lib); err != nil {
			return // a response whose params are of no shape
		}
		if string(lib.ID) != string(m.ID) || lib.Method != m.Method || m.Cancels != nil && string(lib.Params.RequestID) != string(m.Cancels) {
			t.Fatalf("two readings of %q: %+v and %+v", raw, m, lib)
		}
	})
}
