package sops_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/sops"
)

const goldenFolder = "../../testdata/sops/"

// What layout 1 means does not change: a file that sops made in 2026, and each resource, field and project's secret that it holds.
func TestGoldenLayout(t *testing.T) {
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(read(t, goldenFolder+"layout1.identity"))))
	if err != nil {
		t.Fatal(err)
	}
	info, tree, err := newCodec(t).Open(context.Background(), "layout1.yaml", read(t, goldenFolder+"layout1.yaml"), []age.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	set, err := sops.ReadLayout(tree, info.Format, "layout1.yaml", "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, "layout", sops.LayoutFormat)
	for _, e := range set.Entries {
		fmt.Fprintf(&b, "%s %s %s %v\n", e.Kind, e.Handle, e.Project, e.Labels)
		for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
			fmt.Fprintf(&b, "  %s: %s\n", k, e.Attrs[k])
		}
		for _, k := range slices.Sorted(maps.Keys(e.Secrets)) {
			fmt.Fprintf(&b, "  %s (sealed): %s\n", k, e.Secrets[k].Reveal())
		}
	}
	for _, s := range set.Secrets {
		fmt.Fprintf(&b, "secret %s %s: %s (%s)\n", s.Project, s.Name, s.Value.Reveal(), s.Hint)
	}
	for _, p := range set.Problems {
		fmt.Fprintf(&b, "problem %s: %s\n", p.Where, p.Err.Code)
	}
	if want := string(read(t, goldenFolder+"layout1.golden")); b.String() != want {
		t.Errorf("layout 1 is read otherwise than it was:\n%s", b.String())
	}
}
