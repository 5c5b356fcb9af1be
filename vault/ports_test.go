package vault

import (
	"encoding/json"
	"testing"
)

func TestPortsAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "80": "80", "9100,8000-8999": "8000-8999,9100", "1-3,2-5": "1-5", "1-3,4": "1-4", "5-5": "5", "1-65535": "1-65535",
	} {
		p, err := ParsePorts(text)
		if err != nil || p.String() != want {
			t.Errorf("%q is read as %q, %v", text, p, err)
		}
	}
	for _, text := range []string{"0", "65536", "a", "1-", "-1", "2-1", "1,,2", ",", " 1", "01", "+1", "1-2-3", "99999999999999999999"} {
		if p, err := ParsePorts(text); err == nil {
			t.Errorf("%q is read as %q", text, p)
		}
	}
	var many string
	for range maxPortRanges {
		many += "1,"
	}
	if _, err := ParsePorts(many + "1"); err == nil {
		t.Error("a long list is read")
	}
	b, err := json.Marshal(struct{ P PortRanges }{PortRanges{{80, 80}, {90, 91}}})
	if err != nil || string(b) != `{"P":"80,90-91"}` {
		t.Errorf("written as %s, %v", b, err)
	}
}

// What ranges do is what sets of numbers do.
func FuzzPortsAreSets(f *testing.F) {
	f.Add("8000-8999,22", "8080,8500-9000")
	f.Add("1-65535", "1")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePorts(a)
		q, err2 := ParsePorts(b)
		if err != nil || err2 != nil {
			return
		}
		both, rest := p.With(q), p.Without(q)
		for _, r := range []PortRanges{p, q, both, rest} {
			if again, err := ParsePorts(r.String()); len(r) <= maxPortRanges && (err != nil || again.String() != r.String()) {
				t.Fatalf("%q is read as %q, %v", r, again, err)
			}
		}
		for port := 1; port <= lastPort; port++ {
			if both.Has(port) != (p.Has(port) || q.Has(port)) || rest.Has(port) != (p.Has(port) && !q.Has(port)) {
				t.Fatalf("%q and %q: port %d", p, q, port)
			}
		}
	})
}
