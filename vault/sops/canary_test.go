package sops_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// No plaintext on any disk, ever: while files are read, edited, rotated, made and written, every file below the folder, the home and the temporary folder is
// read again and again, and holds neither value nor data key nor identity in any spelling.
func TestNoPlaintextOnDisk(t *testing.T) {
	const canary = "canary-value-4f6c1d2e9b"
	p := sopstest.NewPerson(t)
	root := t.TempDir()
	temp, house := filepath.Join(root, "tmp"), filepath.Join(root, "home")
	for _, d := range []string{temp, house} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	helper := sopstest.Helper(t) // built before TMPDIR is ours
	t.Setenv("TMPDIR", temp)
	t.Setenv("HOME", house)
	var marks [][]byte
	for _, v := range []string{canary, p.Identity.String()} {
		marks = append(marks, []byte(v), []byte(base64.StdEncoding.EncodeToString([]byte(v))[:24]), []byte(hex.EncodeToString([]byte(v))))
	}
	looked := 0
	look := func() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // files come and go
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			looked++
			for _, m := range marks {
				if bytes.Contains(b, m) {
					t.Errorf("%s holds a mark", filepath.Base(path))
				}
			}
			return nil
		})
	}
	ctx, c := context.Background(), sops.New(sops.Options{Helper: helper})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				look()
			}
		}
	})
	for _, format := range []string{"yaml", "json", "dotenv", "ini"} {
		value := wire.Item{Key: "KEY", Value: str(canary)}
		doc := wire.Node{Kind: wire.Map, Items: []wire.Item{value}}
		way := []string{"KEY"}
		if format == "ini" {
			doc, way = wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "s", Value: doc}}}, []string{"s", "KEY"}
		}
		file, err := c.Create(ctx, sops.NewFile{Format: format, Tree: wire.Tree{Documents: []wire.Node{doc}}, Recipients: []string{p.Recipient()}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, "secrets."+strings.Replace(format, "dotenv", "env", 1))
		if err := sops.WriteNew(path, file); err != nil {
			t.Fatal(err)
		}
		s := newSource(t, p, path)
		if err := s.Edit(ctx, path, []wire.Change{put(canary+"2", way...)}); err != nil {
			t.Fatal(err)
		}
		if err := sops.Rewrite(ctx, path, func(b []byte) ([]byte, error) { return c.Rotate(ctx, path, b, ids(p)) }); err != nil {
			t.Fatal(err)
		}
		if _, tree, err := c.Open(ctx, path, read(t, path), ids(p)); err != nil || at(t, tree, way...) != canary+"2" {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	look()
	if looked < 8 {
		t.Errorf("only %d files were looked at", looked)
	}
}
