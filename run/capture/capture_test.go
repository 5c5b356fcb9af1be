package capture

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var agent = vault.Actor{Type: audit.Agent, ID: "agt_ci", Name: "ci"}

// shelf is a Keeper in memory.
type shelf struct {
	kept   []vault.NewResource
	values map[string]string
	may    error
}

func (s *shelf) MayKeep(context.Context, vault.Actor, string) error { return s.may }

func (s *shelf) Keep(_ context.Context, _ vault.Actor, n vault.NewResource) (vault.Resource, error) {
	for f, v := range n.Secrets {
		s.values[f] = string(v.Reveal())
		v.Wipe()
	}
	s.kept = append(s.kept, n)
	return vault.Resource{ID: "res_x", Handle: n.Handle, Kind: n.Kind}, nil
}

// source is an API's key, as the catalogue knows it, whose reply it is.
func source(kind string, attrs map[string]string, p policy.Policy, host string, port int) Source {
	return Source{Resources: []vault.Resource{{ID: "res_1", Handle: "first", Kind: kind, Attrs: attrs, Policy: p, Project: "bots"}}, Host: host, Port: port}
}

var acme = source("api_key", map[string]string{"env": "ACME_KEY", "hosts": "api.acme.example:8443 /v1/* !/v1/admin"}, policy.Policy{}, "api.acme.example", 8443)

func fields(at map[string]string) map[string]Field {
	out := map[string]Field{}
	for name, text := range at {
		out[name] = ParseField(text)
	}
	return out
}

// take captures from a reply, and gives what was kept and what was made known.
func take(t *testing.T, s Spec, src Source, reply string) (Kept, *shelf, []string, error) {
	t.Helper()
	k := &shelf{values: map[string]string{}}
	p, err := s.Prepare(t.Context(), k, agent, src)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	var known []string
	kept, _, err := p.Keep(t.Context(), k, []byte(reply), "run_1", func(_ string, v secret.Secret) { known = append(known, string(v.Reveal())) })
	return kept, k, known, err
}

func TestPlaces(t *testing.T) {
	const value = "tok_5f2a9c3b7d1e"
	for place, reply := range map[string]string{
		"/a":                      `{"a":"` + value + `"}`,
		"/a/b/0/c":                `{"a":{"b":[{"c":"` + value + `"}]}}`,
		"/a~1b/m~0n":              `{"a/b":{"m~n":"` + value + `"}}`,
		"/~01":                    `{"~1":"` + value + `"}`,
		"/":                       `{"":"` + value + `"}`,
		"/1":                      ` [ "no-no-no-no" , "` + value + `" ] `,
		"/esc":                    `{"esc":"tok\u005f5f2a9c3b7d1e"}`,
		`regex:token=(\S+)`:       "x token=" + value + " y",
		`regex:(?m)^key: (.*)$`:   "a\nkey: " + value + "\nb",
		`regex:key (\S{8,}) ok`:   "a key " + value + " ok, and again: key " + value + " ok",
		`regex:=([A-Za-z0-9_-]+)`: "xb=" + value,
		`regex:"secret":"([^"]+)`: `{"secret":"` + value + `"}`,
	} {
		_, k, known, err := take(t, Spec{Handle: "new", Fields: fields(map[string]string{"value": place})}, acme, reply)
		if err != nil || k.values["value"] != value || !slices.Contains(known, value) {
			t.Errorf("%s in %s: %q, known %q, %v", place, reply, k.values["value"], known, err)
		}
	}
	for place, reply := range map[string]string{
		"/a": `{"b":1}`, "/a/b": `{"a":"x"}`, "/0": `{"1":"tok_5f2a9c3b7d1e"}`, "/01": `["a","tok_5f2a9c3b7d1e"]`, "/-": `["tok_5f2a9c3b7d1e"]`, "/9": `["a"]`, "/-1": `["tok_5f2a9c3b7d1e"]`, "/a/0": `{"a":12345678901}`, "/n": `{"n":1234567890123}`,
		"/t": `{"t":"tok_5f2a9c3b7d1e"`, "/u": "", "/v": `{"v":null}`, "/w": `{"w":"tok_5f2a9c3b7d1e"} {"w":"tok_5f2a9c3b7d1e"}`,
	} {
		_, k, known, err := take(t, Spec{Handle: "new", Fields: fields(map[string]string{"value": place})}, acme, reply)
		if f := fault.Of(err); err == nil || f.Code != fault.OutputWithheld || strings.Contains(f.Error(), "tok_") || len(k.kept)+len(known) != 0 {
			t.Errorf("%s in %s: %v", place, reply, err)
		}
	}
}

// All fields or none; a word that a pattern took a piece of is made known whole.
func TestSeveralFields(t *testing.T) {
	s := Spec{Handle: "pair", Fields: fields(map[string]string{"client_id": "regex:id=(\\S+)", "client_secret": "regex:secret=(\\S+)"})}
	kept, k, known, err := take(t, s, acme, "id=id-0123456789 secret=abcdefghijklmnop\n")
	if err != nil || k.values["client_secret"] != "abcdefghijklmnop" || kept.Fields["client_id"] != "short" || !slices.Contains(known, "secret=abcdefghijklmnop") {
		t.Errorf("%+v %q %v", kept, known, err)
	}
	if _, k, known, err := take(t, s, acme, "secret=abcdefghijklmnop\n"); err == nil || len(k.kept)+len(known) != 0 {
		t.Errorf("half a capture: %v", err)
	}
}

// What the source demands holds for what comes of it, and the agent that captured is the only one.
func TestAttack34_NoCaptureIsWiderThanItsSource(t *testing.T) {
	p := policy.Policy{Approval: "always", MinLevel: policy.LevelSealed, MaxTTL: 60, Agents: []string{"ci", "other"}, Pins: []policy.Pin{{Name: "p", Argv: []string{"/bin/true"}}}, Deliveries: []policy.Delivery{policy.Env, policy.None},
		Hosts: []policy.HostRule{{Host: "*.acme.example", Methods: []string{"GET"}, Paths: []string{"/v1/*"}, Deny: []string{"/v1/admin"}}, {Host: "other.example"}}, Resolve: []string{"a.acme.example=203.0.113.9", "other.example=203.0.113.8"}}
	src := source("api_key", map[string]string{"env": "ACME_KEY", "hosts": "*.acme.example"}, p, "a.acme.example", 443)
	_, k, _, err := take(t, Spec{Handle: "9new.key-x", Kind: APIKey, Fields: fields(map[string]string{"key": "/k"})}, src, `{"k":"tok_5f2a9c3b7d1e"}`)
	if err != nil {
		t.Fatal(err)
	}
	n := k.kept[0]
	got := fmt.Sprintf("%+v", n.Policy.Hosts)
	if want := fmt.Sprintf("%+v", []policy.HostRule{{Host: "a.acme.example", Methods: []string{"GET"}, Paths: []string{"/v1/*"}, Deny: []string{"/v1/admin"}}}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if q := n.Policy; q.Approval != "always" || q.MinLevel != policy.LevelSealed || q.MaxTTL != 60 || !slices.Equal(q.Agents, []string{"ci"}) || len(q.Pins) != 0 || slices.Contains(q.Deliveries, policy.Env) || !slices.Equal(q.Resolve, []string{"a.acme.example=203.0.113.9"}) {
		t.Errorf("%+v", q)
	}
	if n.Attrs["env"] != "KEY_9NEW_KEY_X_KEY" || n.Attrs["hosts"] != "a.acme.example" || n.Attrs["header"] != "Authorization: Bearer {value}" || n.Project != "bots" || len(n.Attrs) != 3 {
		t.Errorf("%+v", n)
	}
}

// The key of another kind's reply goes into the header that this kind has; where it has none, and for hosts that are not the source's, there is no api_key.
func TestAPIKeysOfOtherKinds(t *testing.T) {
	s := Spec{Handle: "new", Kind: APIKey, Fields: fields(map[string]string{"key": "/k"})}
	_, k, _, err := take(t, s, source("domain", map[string]string{"zone": "example.org"}, policy.Policy{}, "api.cloudflare.com", 443), `{"k":"tok_5f2a9c3b7d1e"}`)
	if err != nil || !strings.HasPrefix(k.kept[0].Attrs["header"], "Authorization: Bearer") || !slices.ContainsFunc(k.kept[0].Policy.Hosts, func(r policy.HostRule) bool { return len(r.Deny) > 0 }) {
		t.Errorf("%+v %v", k.kept, err)
	}
	for name, src := range map[string]Source{
		"in the path":  source("telegram_bot", nil, policy.Policy{}, "api.telegram.org", 443),
		"another host": source("api_key", map[string]string{"service": "openai"}, policy.Policy{}, "attacker.example", 443),
		"a command":    {Resources: acme.Resources},
	} {
		if _, err := s.Prepare(t.Context(), &shelf{}, agent, src); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, handle := range []string{"ld_preload", "git_ssh", "zavhoz_x"} {
		s.Handle = handle
		if _, err := s.Prepare(t.Context(), &shelf{}, agent, acme); err == nil {
			t.Errorf("%s steers a tool by its variable", handle)
		}
	}
}

func TestWhoMayCapture(t *testing.T) {
	s := Spec{Handle: "new", Fields: fields(map[string]string{"value": "/k"})}
	if _, err := s.Prepare(t.Context(), &shelf{}, vault.OperatorActor(), acme); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("a person: %v", err)
	}
	if _, err := s.Prepare(t.Context(), nil, agent, acme); fault.CodeOf(err) != fault.NotSupported {
		t.Errorf("no keeper: %v", err)
	}
	refusal := fault.New(fault.HandleTaken, "taken", "")
	if _, err := s.Prepare(t.Context(), &shelf{may: refusal}, agent, acme); fault.CodeOf(err) != fault.HandleTaken {
		t.Errorf("taken: %v", err)
	}
}

// FuzzCut: no reply makes a capture panic, tell anything of it, or keep what is no secret.
func FuzzCut(f *testing.F) {
	for _, s := range []string{`{"a":"tok_5f2a9c3b7d1e"}`, `{"a":{"b":["x"]}}`, "token=tok_5f2a9c3b7d1e", `{"a":"\ud800"}`, `[[[[`, "\x00", `{"a":"short"}`} {
		f.Add([]byte(s), "/a")
		f.Add([]byte(s), "regex:token=(\\S+)")
	}
	f.Fuzz(func(t *testing.T, reply []byte, text string) {
		at, err := ParseField(text).place("value")
		if err != nil {
			return
		}
		p := &Plan{fields: []place{at}, public: acme.public(agent)}
		values, err := p.cut(reply)
		if err != nil {
			if fault.CodeOf(err) != fault.OutputWithheld || len(values) != 0 {
				t.Fatal(err)
			}
			return
		}
		if v := values["value"].Reveal(); len(v) < leastValue || at.pattern != nil && !bytes.Contains(reply, v) {
			t.Fatalf("kept %q", v)
		}
	})
}

// A pattern says where a value stands and asks nothing about it.
func TestAttack60_PatternsAskNothing(t *testing.T) {
	for pattern, ok := range map[string]bool{
		`token=(\S+)`: true, `"key":"([^"]+)"`: true, `(?m)^key: (.*)$`: true, `([A-Za-z0-9_-]+)`: true, `a(.+)b`: true, `x: (\S{8,})`: true, `(?s)begin (.+) end`: true,
		`token=([a-m])`: false, `token=([a-m]\S+)`: false, `token=(S\S+)`: false, `token=(\S{3})`: false, `token=(\S{9,})`: false, `token=(\S+?)`: false, `(?i)token=(\S+)`: false,
		`token=[a-m](\S+)`: false, `(?:a|b)=(\S+)`: false, `token=(\S+)[0-9]`: false, `.*token=(\S+)`: false, `token=(\w+)`: false, `token=(\S+)\b`: false, `token=([a-z]+)`: false, `x?=(\S+)`: false,
		`(a|\S+)`: false, `((\S+))`: false, `token=(?P<v>\S+)`: true,
	} {
		_, err := Field{Pattern: pattern}.place("f")
		if (err == nil) != ok {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

// Whatever a caller asks of two replies that differ in their values alone, the answer is the same: by literal text too, which must take whole words.
func TestAttack60_TwoValuesGetOneAnswer(t *testing.T) {
	const one, other = "CNRYpinnedVAL3xQ9vT6bN1", "ZqWe8rTy7uIo6pAs5dFg4h0"
	for _, pattern := range []string{
		`token: (\S+)`, `C(\S+)`, `token: C(\S+)`, `token: CN(\S+)`, `(\S+)1`, `N1 next=(\S+)`, `1 next=(\S+)`, `(\S+)N1 next`, `(.+)N1`, `token: (.+)1 next`, `en: (\S+)`, `next=(\S+)`, `absent=(\S+)`,
	} {
		answers := map[string]bool{}
		for _, v := range []string{one, other} {
			kept, _, _, err := take(t, Spec{Handle: "new", Fields: fields(map[string]string{"value": "regex:" + pattern})}, acme, "token: "+v+" next=fixed-9f8e7d6c5b end\n")
			answers[fmt.Sprintf("%+v %v", kept, err)] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s tells them apart: %v", pattern, answers)
		}
	}
}

// changing refuses what takes its rules from a resource that has changed, as the vault does.
type changing struct{ *shelf }

func (c changing) Keep(ctx context.Context, a vault.Actor, n vault.NewResource) (vault.Resource, error) {
	if len(n.From) > 0 {
		return vault.Resource{}, fault.New(fault.VersionConflict, "changed", "")
	}
	return c.shelf.Keep(ctx, a, n)
}

// A key whose rules are out of date when it comes is kept, with no rules at all.
func TestACaptureFromAChangedResourceIsGeneric(t *testing.T) {
	k := changing{&shelf{values: map[string]string{}}}
	p, err := Spec{Handle: "made", Kind: APIKey, Fields: fields(map[string]string{"key": "/key"})}.Prepare(t.Context(), k, agent, acme)
	if err != nil {
		t.Fatal(err)
	}
	kept, _, err := p.Keep(t.Context(), k, []byte(`{"key":"tok_5f2a9c3b7d1e"}`), "run_1", func(string, secret.Secret) {})
	if err != nil || kept.Kind != Generic || k.values["key"] != "tok_5f2a9c3b7d1e" {
		t.Fatalf("%+v %v", kept, err)
	}
	if n := k.kept[0]; n.Kind != Generic || len(n.Policy.Hosts)+len(n.Policy.Deliveries)+len(n.Attrs)+len(n.Policy.Resolve) != 0 || !slices.Equal(n.Policy.Agents, []string{"ci"}) {
		t.Errorf("%+v", n)
	}
}
