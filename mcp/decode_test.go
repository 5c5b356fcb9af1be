package mcp_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

type inner struct {
	Port int `json:"port"`
}

type arguments struct {
	Handle  string            `json:"handle"`
	Command []string          `json:"command,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Need    *inner            `json:"need,omitempty"`
	Count   int               `json:"count,omitempty"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	Hidden  string            `json:"-"`
}

func TestDecodeTakesWhatTheSchemaSays(t *testing.T) {
	var a arguments
	raw := `{"handle":"prod_vps_1","command":["ssh","x"],"env":{"A":"1","a":"2"},"need":{"port":22},"count":3,"raw":{"Any":1,"any":2}}`
	if err := mcp.Decode(json.RawMessage(raw), &a); err != nil {
		t.Fatal(err)
	}
	if a.Handle != "prod_vps_1" || len(a.Command) != 2 || a.Env["a"] != "2" || a.Need.Port != 22 || a.Count != 3 {
		t.Errorf("decoded %+v", a)
	}
	for _, empty := range []string{"", "null", " {} "} {
		if err := mcp.Decode(json.RawMessage(empty), &arguments{}); err != nil {
			t.Errorf("%q refused: %v", empty, err)
		}
	}
}

func TestDecodeRefusesAndNamesTheFieldOnly(t *testing.T) {
	const canary = "canary-5f1e9a"
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	tests := []struct{ name, raw, says string }{
		{"unknown field", `{"handle":"h","bogus":"` + canary + `"}`, "argument bogus: not a known field"},
		{"other case", `{"Handle":"` + canary + `"}`, "argument Handle: not a known field"},
		{"twice", `{"handle":"` + canary + `","handle":"b"}`, "argument handle: given twice"},
		{"twice by escape", `{"handle":"a","h\u0061ndle":"` + canary + `"}`, "argument handle: given twice"},
		{"nested unknown", `{"need":{"port":1,"PORT":2}}`, "argument need.PORT: not a known field"},
		{"in a list", `{"command":["a",{"x":"` + canary + `"}]}`, "argument command"},
		{"wrong type", `{"handle":` + `["` + canary + `"]}`, "argument handle: must be a string"},
		{"number echo", `{"command":` + `123456789}`, "argument command: must be an array"},
		{"out of range", `{"count":99999999999999999999}`, "argument count: must be a whole number in range"},
		{"fraction", `{"count":1.5}`, "argument count: must be a whole number in range"},
		{"hidden field", `{"Hidden":"` + canary + `"}`, "argument Hidden: not a known field"},
		{"unprintable name", `{"` + canary + ` \n":1}`, "an argument: not a known field"},
		{"name like a secret", `{"` + canary + `":1}`, "an argument: not a known field"},
		{"long name", `{"` + strings.Repeat("x", 100) + `":1}`, "an argument: not a known field"},
		{"trailing", `{"handle":"a"} {"handle":"` + canary + `"}`, "not valid JSON"},
		{"not an object", `["` + canary + `"]`, "must be a JSON object"},
		{"cut", `{"handle":"` + canary, "not valid JSON"},
		{"bad UTF-8", "{\"handle\":\"" + canary + "\xff\"}", "not valid UTF-8"},
		{"deep", `{"raw":` + deep + `}`, "nest deeper"},
		{"map twice", `{"env":{"A":"1","A":"` + canary + `"}}`, "argument env.A: given twice"},
	}
	for _, tt := range tests {
		err := mcp.Decode(json.RawMessage(tt.raw), &arguments{})
		if fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		e := fault.Of(err)
		if !strings.Contains(e.Message, tt.says) {
			t.Errorf("%s: says %q, want %q", tt.name, e.Message, tt.says)
		}
		if strings.Contains(e.Error(), canary) || strings.Contains(e.Error(), "123456789") {
			t.Errorf("%s: the value is repeated: %v", tt.name, e)
		}
	}
}

// Whatever Decode takes, encoding/json takes with the same result and no key left out; whatever it refuses repeats nothing.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"handle":"h"}`, `{"need":{"port":1}}`, `{"raw":[[[]]]}`, `[`, "\xff", `{"a":1,"a":2}`, `{"handle":"x"}}`, `nul`, `{"handle":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a arguments
		err := mcp.Decode(raw, &a)
		if err != nil {
			if fault.CodeOf(err) != fault.InvalidArgument {
				t.Fatalf("code %s", fault.CodeOf(err))
			}
			return
		}
		if len(strings.TrimSpace(string(raw))) == 0 {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatalf("took what is not JSON: %v", err)
		}
		for k := range all {
			switch k {
			case "handle", "command", "env", "need", "count", "raw":
			default:
				t.Fatalf("took the unknown key %q", k)
			}
		}
	})
}
