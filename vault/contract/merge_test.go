package contract_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/contract"
)

func parse(t *testing.T, owner, entries string) contract.Fragment {
	t.Helper()
	f, err := contract.Parse(owner, []byte("version: \"1\"\nowner: "+owner+"\nentries:\n"+entries))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMergeRefusesWhatDiffers(t *testing.T) {
	const same = "  A: {source: literal, environments: [production, staging], consumers: [x, y], value: \"1\"}\n"
	a := parse(t, "a", same)
	if _, err := contract.Merge(a, parse(t, "b", "  A: {value: 1, consumers: [y, x], environments: [staging, production], source: literal}\n")); err != nil {
		t.Errorf("the same in another order: %v", err)
	}
	for entry, field := range map[string]string{
		"  A: {source: literal, environments: [production, staging], consumers: [x, y], value: \"2\"}\n":                  "value",
		"  A: {source: literal, environments: [production], consumers: [x, y], value: \"1\"}\n":                           "environments",
		"  A: {source: literal, environments: [production, staging], consumers: [x], value: \"1\"}\n":                     "consumers",
		"  A: {source: literal, environments: [production, staging], consumers: [x, y], value: \"1\", required: false}\n": "required",
		"  A: {source: derived, environments: [production, staging], consumers: [x, y]}\n":                                "source, value",
	} {
		_, err := contract.Merge(a, parse(t, "b", entry))
		if err == nil || !strings.Contains(err.Error(), "A is declared by a and by b, which differ in "+field) {
			t.Errorf("%s: %v", field, err)
		}
		_, other := contract.Merge(parse(t, "b", entry), a)
		if other == nil || other.Error() != err.Error() {
			t.Errorf("in the other order: %v", other)
		}
	}
}

func TestMergeChecksReferences(t *testing.T) {
	derived := func(name, template string) string {
		return "  " + name + ": {source: derived, environments: [production], template: \"" + template + "\"}\n"
	}
	for name, c := range map[string]struct{ entries, why string }{
		"unknown":     {derived("A", "${B}"), "A refers to B, which the contract does not declare"},
		"elsewhere":   {derived("A", "${B}") + "  B: {source: literal, environments: [staging], value: x}\n", "A refers to B"},
		"itself":      {derived("A", "x${A}"), "refers to itself"},
		"by the way":  {derived("A", "${B}") + derived("B", "${C}") + derived("C", "${A}"), "refers to itself"},
		"soft itself": {derived("A", "${B?x}") + derived("B", "${A?x}"), "refers to itself"},
		"sound":       {derived("A", "${B}${C?no}${@slug}$$") + derived("B", "b"), ""},
	} {
		_, err := contract.Merge(parse(t, "o", c.entries))
		if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := ""
	for i := range 500 {
		long += derived("A"+strings.Repeat("B", i%100)+strings.Repeat("C", i/100), "x")
	}
	if _, err := contract.Merge(parse(t, "o", long)); err != nil {
		t.Error(err)
	}
	if _, err := contract.Merge(parse(t, "o", long), parse(t, "p", strings.ReplaceAll(long, "  A", "  Z"))); err == nil || !strings.Contains(err.Error(), "more than 512") {
		t.Errorf("a thousand entries: %v", err)
	}
	if _, err := contract.Merge(make([]contract.Fragment, 65)...); err == nil {
		t.Error("65 fragments are taken")
	}
}

func TestTemplate(t *testing.T) {
	got, err := contract.ParseTemplate("a$$b${X:url?d-e}${@port.web}c")
	if err != nil || len(got) != 4 || got[0].Text != "a$b" || got[1] != (contract.Piece{Ref: "X", As: "url", Else: "d-e", Soft: true}) || got[2].Ref != "@port.web" || got[3].Text != "c" {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"$", "${}", "${x}", "${X", "$X", "${X?${Y}}", "${@slug?x}", "${@port}", "${@port.}", "${@port.A}", "${X:}", "${X:urls}", "${X }", "${LD_PRELOAD}"} {
		if got, err := contract.ParseTemplate(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// Whatever is parsed is bounded, merges with itself, and its canonical form is stable.
func FuzzParse(f *testing.F) {
	f.Add([]byte(entry("source: literal", "environments: [production]", "value: x")))
	f.Add([]byte(entry("source: derived", "environments: [production]", "template: ${A}")))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? [x]\n: {y: }"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fragment, err := contract.Parse("fuzz", data)
		if err != nil {
			if len(err.Error()) > 64<<10 {
				t.Errorf("a refusal of %d bytes", len(err.Error()))
			}
			return
		}
		c, err := contract.Merge(fragment, fragment)
		if err != nil {
			return
		}
		again, err := contract.Merge(fragment)
		if err != nil || c.Digest() != again.Digest() {
			t.Errorf("unstable: %v", err)
		}
		for name := range c.Entries {
			if contract.CheckName(name) != "" {
				t.Errorf("the name %q is taken", name)
			}
		}
	})
}
