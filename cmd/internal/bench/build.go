package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/zavhoz/zavhoz"

// prepare finds the program that is measured: the one that make built, or a fresh one.
func (b *bench) prepare(ctx context.Context) error {
	root, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	b.root = strings.TrimSpace(root)
	if bin := os.Getenv("ZAVHOZ_BIN"); bin != "" {
		b.bin, err = filepath.Abs(bin)
		return err
	}
	b.bin = filepath.Join(b.dir, "zavhoz")
	return b.build(ctx, b.root, "./cmd/zavhoz", b.bin)
}

// build makes a program as `make build` does.
func (b *bench) build(ctx context.Context, dir, pkg, out string) error {
	_, err := command(ctx, dir, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, pkg)
	return err
}

// floor builds one of the floors' programs, once.
func (b *bench) floor(ctx context.Context, name string) (string, error) {
	out := filepath.Join(b.dir, "floor_"+name)
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	return out, b.build(ctx, b.root, "./cmd/internal/bench/floors/"+name, out)
}

// linkedMain is a program that does nothing but link what zavhoz links.
const linkedMain = `package main

import (
	"io"
	"os"

%s)

func main() {
	os.Stdout.WriteString("ready\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
`

// linked builds a program that imports every package of others that ours import, and does nothing with them.
func (b *bench) linked(ctx context.Context) (string, error) {
	dir := filepath.Join(b.dir, "linked")
	out := filepath.Join(dir, "linked")
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	imports, err := b.imports(ctx)
	if err != nil {
		return "", err
	}
	var list strings.Builder
	for _, p := range imports {
		fmt.Fprintf(&list, "\t_ %q\n", p)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	mod, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(b.root, "go.sum"))
	if err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{
		"go.mod": bytes.Replace(mod, []byte("module "+module), []byte("module linked"), 1), "go.sum": sum, "main.go": fmt.Appendf(nil, linkedMain, list.String()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return out, b.build(ctx, dir, ".", out)
}

// imports lists the packages of others that the packages of ours in the program import.
func (b *bench) imports(ctx context.Context) ([]string, error) {
	text, err := command(ctx, b.root, "go", "list", "-deps", "-f", `{{with .Module}}{{if eq .Path "`+module+`"}}{{range $.Imports}}{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, "./cmd/zavhoz")
	if err != nil {
		return nil, err
	}
	var out []string
	for p := range strings.FieldsSeq(text) {
		if !strings.HasPrefix(p, module) && p != "io" && p != "os" {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// command runs a tool to its end and gives what it printed.
func command(ctx context.Context, dir string, argv ...string) (string, error) {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv[:min(3, len(argv))], " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}
