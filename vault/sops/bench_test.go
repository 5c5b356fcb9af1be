package sops_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// manyKeys makes a YAML file of n values in projects of a hundred.
func manyKeys(b *testing.B, p *sopstest.Person, n int) string {
	b.Helper()
	var projects []wire.Item
	for at := 0; at < n; at += 100 {
		var secrets []wire.Item
		for i := range 100 {
			secrets = append(secrets, wire.Item{Key: fmt.Sprintf("SECRET_%d", i), Value: str(fmt.Sprintf("value-%d-abcdefghijklmnopqrstuvwxyz0123456789", at+i))})
		}
		project := wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "secrets", Value: wire.Node{Kind: wire.Map, Items: secrets}}}}
		projects = append(projects, wire.Item{Key: fmt.Sprintf("p%d", at/100), Value: project})
	}
	root := wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "projects", Value: wire.Node{Kind: wire.Map, Items: projects}}}}
	file, err := newCodec(b).Create(context.Background(), sops.NewFile{Format: "yaml", Tree: wire.Tree{Documents: []wire.Node{root}}, Recipients: []string{p.Recipient()}})
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(p.Dir, "many.yaml")
	write(b, path, file, 0o600)
	return path
}

// BenchmarkSOPS compares reading and setting with the sops program in one run: helper or program started each time, file written each time (goal 10: ≤ 50 %).
// again is a look at a file that did not change (≤ 1 ms).
func BenchmarkSOPS(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1000, 10000} {
		p := sopstest.NewPerson(b)
		path, c := manyKeys(b, p, n), newCodec(b)
		s := newSource(b, p, path)
		b.Run(fmt.Sprintf("read/%d/zavhoz", n), func(b *testing.B) {
			for b.Loop() {
				info, tree, err := c.Open(ctx, path, read(b, path), ids(p))
				if err != nil {
					b.Fatal(err)
				}
				set, err := sops.ReadLayout(tree, info.Format, path, "")
				if err != nil || len(set.Secrets) < n {
					b.Fatal(err, len(set.Secrets))
				}
				set.Wipe()
				tree.Wipe()
			}
		})
		b.Run(fmt.Sprintf("read/%d/sops", n), func(b *testing.B) {
			for b.Loop() {
				p.Sops(p.Dir, "decrypt", "many.yaml")
			}
		})
		i := 0
		b.Run(fmt.Sprintf("set/%d/zavhoz", n), func(b *testing.B) {
			for b.Loop() {
				i++
				change := []wire.Change{put(fmt.Sprint("changed-", i), "projects", "p0", "secrets", "SECRET_7")}
				if err := sops.Rewrite(ctx, path, func(before []byte) ([]byte, error) { return c.Edit(ctx, path, before, ids(p), change) }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("set/%d/sops", n), func(b *testing.B) {
			for b.Loop() {
				i++
				p.Sops(p.Dir, "set", "many.yaml", `["projects"]["p0"]["secrets"]["SECRET_7"]`, fmt.Sprintf(`"changed-%d"`, i))
			}
		})
		s.Refresh(ctx)
		b.Run(fmt.Sprintf("again/%d", n), func(b *testing.B) {
			for b.Loop() {
				s.Refresh(ctx)
			}
		})
	}
}
