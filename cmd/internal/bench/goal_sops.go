package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// sopsRelease is the folder of the real programs that testdata/needs/install built.
const sopsRelease = "sops-3.13.3-age-1.3.2"

// settled is after how long a file's times tell that it did not change since: its system counts them in steps.
const settled = 3 * time.Second

// person has an age identity in a file, and the real sops.
type person struct {
	dir, sops string
	who       *age.X25519Identity
	env       []string
}

func (b *bench) person(ctx context.Context) (*person, error) {
	cache, err := command(ctx, "", "go", "env", "GOCACHE")
	if err != nil {
		return nil, err
	}
	p := &person{dir: filepath.Join(b.dir, "sops"), sops: filepath.Join(filepath.Dir(strings.TrimSpace(cache)), "zavhoz-needs", sopsRelease, "sops")}
	if _, err := os.Stat(p.sops); err != nil {
		return nil, errors.New("sops is not there: run `make needs`")
	}
	if p.who, err = age.GenerateX25519Identity(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	key := filepath.Join(p.dir, "key.txt")
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "SOPS_AGE_KEY_FILE=" + key, "SOPS_DISABLE_VERSION_CHECK=1"}
	return p, os.WriteFile(key, []byte(p.who.String()+"\n"), 0o600)
}

// run runs sops, and throws away what it says.
func (p *person) run(ctx context.Context, stdin string, args ...string) error {
	c := exec.CommandContext(ctx, p.sops, args...)
	c.Dir, c.Env, c.Stdin = p.dir, p.env, strings.NewReader(stdin)
	var said strings.Builder
	c.Stderr = &said
	if err := c.Run(); err != nil {
		return fmt.Errorf("sops %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return nil
}

// file makes a SOPS file of n values by sops itself: projects of a hundred secrets where layout, else plain variables.
func (p *person) file(ctx context.Context, name string, n int, layout bool) error {
	var text strings.Builder
	if layout {
		text.WriteString("projects:\n")
	}
	for i := range n {
		switch {
		case !layout:
			fmt.Fprintf(&text, "BENCH_SECRET_%04d: %s\n", i, newSecret())
			continue
		case i%100 == 0:
			fmt.Fprintf(&text, "  p%d:\n    secrets:\n", i/100)
		}
		fmt.Fprintf(&text, "      SECRET_%d: %s\n", i%100, newSecret())
	}
	return p.run(ctx, text.String(), "encrypt", "--age", p.who.Recipient().String(), "--input-type", "yaml", "--output-type", "yaml", "--filename-override", name, "--output", name, "/dev/stdin")
}

// sopsFiles is goal 10: a SOPS file read, and one value of it set, as the daemon does both (helper started each time, file written each time), beside the sops program;
// and a look at a file that did not change.
func sopsFiles(ctx context.Context, b *bench) ([]Row, error) {
	p, err := b.person(ctx)
	if err != nil {
		return nil, err
	}
	helper := filepath.Join(b.dir, "zavhoz-sops")
	if err := b.build(ctx, b.root, "./cmd/zavhoz-sops", helper); err != nil {
		return nil, err
	}
	var rows []Row
	for _, n := range []int{1000, 10_000} {
		more, err := p.compare(ctx, b, sops.New(sops.Options{Helper: helper}), n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (p *person) compare(ctx context.Context, b *bench, c *sops.Codec, n int) ([]Row, error) {
	name := fmt.Sprintf("many-%d.yaml", n)
	if err := p.file(ctx, name, n, true); err != nil {
		return nil, err
	}
	path, ids := filepath.Join(p.dir, name), []age.Identity{p.who}
	src, err := sops.NewSource(ctx, sops.SourceOptions{Codec: c, Files: []sops.FileSpec{{Path: path}}, Identities: func(context.Context) ([]age.Identity, error) { return ids, nil }})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	at := 0
	set := func() string { at++; return fmt.Sprintf("changed-%d", at) }
	got, err := turns(b.rounds(12),
		micros(func() error { return p.run(ctx, "", "decrypt", name) }),
		micros(func() error { return readFile(ctx, c, path, ids, n) }),
		micros(func() error {
			return p.run(ctx, "", "set", name, `["projects"]["p0"]["secrets"]["SECRET_7"]`, `"`+set()+`"`)
		}),
		micros(func() error { return setValue(ctx, c, path, ids, set()) }))
	if err != nil {
		return nil, err
	}
	src.Refresh(ctx)
	time.Sleep(settled)
	look, err := turns(b.rounds(100), micros(func() error { src.Refresh(ctx); return nil }))
	if err != nil {
		return nil, err
	}
	again := Row{What: fmt.Sprintf("a look at an unchanged file of %d keys, beside sops that reads it", n), Floor: got[0], Ours: look[0], Unit: "µs"}
	return []Row{
		within(Row{What: fmt.Sprintf("a SOPS file of %d keys read, beside `sops decrypt`", n), Floor: got[0], Ours: got[1], Unit: "µs"}, 50),
		within(Row{What: fmt.Sprintf("one of %d keys set, beside `sops set`", n), Floor: got[2], Ours: got[3], Unit: "µs"}, 50),
		again.atMost(again.Ours/1000, "ms", 1),
	}, nil
}

// within judges ours as a percentage of the floor that it may be at most.
func within(r Row, limit float64) Row { return r.atMost(100*r.Ours/r.Floor, "%", limit) }

func readFile(ctx context.Context, c *sops.Codec, path string, ids []age.Identity, n int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, tree, err := c.Open(ctx, path, b, ids)
	if err != nil {
		return err
	}
	defer tree.Wipe()
	set, err := sops.ReadLayout(tree, info.Format, path, "")
	if err == nil && len(set.Secrets) < n {
		err = fmt.Errorf("only %d secrets were read", len(set.Secrets))
	}
	set.Wipe()
	return err
}

func setValue(ctx context.Context, c *sops.Codec, path string, ids []age.Identity, value string) error {
	change := []wire.Change{{Path: []string{"projects", "p0", "secrets", "SECRET_7"}, Value: wire.Node{Kind: wire.String, Text: secret.FromString(value)}}}
	return sops.Rewrite(ctx, path, func(before []byte) ([]byte, error) { return c.Edit(ctx, path, before, ids, change) })
}
