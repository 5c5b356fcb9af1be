package sops_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// FuzzLayout: no tree makes the reader of the layout panic; what has a problem has no values; no two usable entries share a handle; no message holds a value.
func FuzzLayout(f *testing.F) {
	const canary = "Canary-Value-4F6C1D2E9B"
	m := func(items ...wire.Item) wire.Node { return wire.Node{Kind: wire.Map, Items: items} }
	f.Add(wire.EncodeTree(wire.Tree{Documents: []wire.Node{m(wire.Item{Key: "resources", Value: m(wire.Item{Key: "x", Value: m(wire.Item{Key: "kind", Value: str("generic")}, wire.Item{Key: "value", Value: str(canary)})})})}}), "yaml")
	f.Add(wire.EncodeTree(wire.Tree{Documents: []wire.Node{m(wire.Item{Key: "telegram_bots", Value: m(wire.Item{Key: "x", Value: str(canary)})})}}), "json")
	f.Add(wire.EncodeTree(wire.Tree{Documents: []wire.Node{m(wire.Item{Key: "A", Value: str(canary)})}}), "dotenv")
	f.Fuzz(func(t *testing.T, b []byte, format string) {
		tree, err := wire.DecodeTree(b)
		if err != nil {
			return
		}
		set, err := sops.ReadLayout(tree, format, "a.yaml", "")
		if err != nil {
			return
		}
		handles := map[string]bool{}
		for _, e := range set.Entries {
			if e.Problem != nil {
				if len(e.Secrets) > 0 || len(e.Attrs) > 0 {
					t.Fatal("what is not to be used has values")
				}
				continue
			}
			if handles[e.Handle] {
				t.Fatal("a handle twice")
			}
			handles[e.Handle] = true
			for _, a := range e.Attrs {
				if strings.Contains(a, canary) && strings.Contains(string(b), canary) && e.Secrets["value"].Len() > 0 && string(e.Secrets["value"].Reveal()) == canary {
					t.Fatal("a public attribute holds the value")
				}
			}
		}
		for _, p := range set.Problems {
			if p.Err == nil || strings.Contains(p.Err.Error(), canary) {
				t.Fatal("a problem without words, or with a value")
			}
		}
		set.Wipe()
	})
}
