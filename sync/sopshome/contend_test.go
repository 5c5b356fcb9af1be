package sopshome_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync/sopshome"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// editor is what sops runs on its plain copy: it tells that it is open, waits until it may go on, and changes one value.
const editor = `#!/bin/sh
touch "$GATE/open"
while ! test -e "$GATE/go"; do sleep 0.02; done
sed -i 's/some-smtp-password/another-smtp-password/' "$1"
`

// A person has the file open in sops's editor, for as long as they like, and saves it after zavhoz has written: sops puts its own on top without a look. What zavhoz
// wrote, changed, added, renamed and removed, is there again by itself, and so is what the person saved.
func TestAnEditorOfSopsUndoesNothing(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	gate := t.TempDir()
	must(t, os.WriteFile(filepath.Join(gate, "editor"), []byte(editor), 0o700))
	p.Env = []string{"EDITOR=" + filepath.Join(gate, "editor"), "GATE=" + gate}
	h := newHouse(t, p, "secrets.yaml")
	h.live()
	c := p.Start(p.Dir, "", "sops", "edit", path)
	must(t, c.Start())
	h.until("the editor", func() bool { _, err := os.Stat(filepath.Join(gate, "open")); return err == nil })
	_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB)})
	must(t, err)
	_, err = h.RenameResource(ctx, operator, "github_main", "github_other")
	must(t, err)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "fresh", Secrets: one("value", "a-fresh-value"), Source: "sops:secrets.yaml"})
	must(t, err)
	_, err = h.RemoveResource(ctx, operator, "shop.stripe_key")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(gate, "go"), nil, 0o600))
	must(t, c.Wait())
	h.until("what was saved", func() bool { return h.value("smtp", "value") == "another-smtp-password" })
	for where, want := range map[string]string{
		`["api_keys"]["openai"]["key"]`: keyB, `["resources"]["smtp"]["value"]`: "another-smtp-password", `["resources"]["fresh"]["value"]`: "a-fresh-value",
		`["api_keys"]["github_other"]["key"]`: "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
	} {
		if got := h.has("secrets.yaml", where); got != want {
			t.Errorf("%s: %q", where, got)
		}
	}
	if plain := p.Sops(p.Dir, "decrypt", "secrets.yaml"); strings.Contains(plain, "github_main") || strings.Contains(plain, "STRIPE_KEY") || !strings.Contains(plain, "# our keys") {
		t.Error(plain)
	}
	if r := h.get("openai"); h.value("openai", "key") != keyB || r.Version != 2 || h.get("fresh").Status != vault.Active {
		t.Errorf("%+v", r)
	}
	if records := strings.Join(h.recorded(audit.FileWrite), ", "); !strings.HasSuffix(records, "allowed  outcome") || h.err("secrets.yaml") != "" {
		t.Errorf("%s; %s", records, h.err("secrets.yaml"))
	}
	must(t, h.v.Verify(ctx))
}

// writer changes one value again and again, and tries again where somebody else was faster. It gives the last that was acknowledged.
func writer(t *testing.T, n int, what string, write func(value string) error) (last string) {
	for i := range n {
		value := fmt.Sprintf("%s-number-%d", what, i)
		for {
			err := write(value)
			if err == nil {
				last = value
				break
			}
			if code := fault.CodeOf(err); code != fault.VersionConflict && code != fault.Busy && code != fault.InvalidArgument {
				t.Errorf("%s: %v", what, err)
				return last
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return last
}

// Two daemons, each with a vault of its own, and sops itself write one file at the same time. Whatever of it was acknowledged last is in the file in the end, and in
// both vaults.
func TestThreeWriteOneFile(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	a, b := newHouse(t, p, "secrets.yaml"), newHouse(t, p, "secrets.yaml")
	a.live()
	b.live()
	var wg sync.WaitGroup
	var last [4]string
	edit := func(h *house, ref, field string) func(string) error {
		return func(v string) error {
			_, err := h.EditResource(ctx, operator, ref, vault.Edit{Secrets: one(field, v)})
			return err
		}
	}
	const rounds = 8
	wg.Go(func() { last[0] = writer(t, rounds, "smtp", edit(a, "smtp", "value")) })
	wg.Go(func() { last[1] = writer(t, rounds, "stripe", edit(b, "shop.stripe_key", "value")) })
	wg.Go(func() { last[2] = writer(t, rounds, "extra", edit(b, "smtp", "extra")) })
	wg.Go(func() {
		last[3] = writer(t, rounds, "sk-of-sops-that-is-long-enough", func(v string) error {
			out, err := p.Try(p.Dir, "", "sops", "set", "secrets.yaml", `["api_keys"]["openai"]["key"]`, `"`+v+`"`)
			if err != nil {
				t.Logf("sops: %s", out)
				return fault.New(fault.Busy, "again", "")
			}
			return nil
		})
	})
	wg.Wait()
	for _, w := range []struct{ ref, field, path, want string }{
		{"smtp", "value", `["resources"]["smtp"]["value"]`, last[0]}, {"shop.stripe_key", "value", `["projects"]["shop"]["secrets"]["STRIPE_KEY"]`, last[1]},
		{"smtp", "extra", `["resources"]["smtp"]["extra"]`, last[2]}, {"openai", "key", `["api_keys"]["openai"]["key"]`, last[3]},
	} {
		for _, h := range []*house{a, b} {
			h.until(w.want, func() bool {
				r := h.get(w.ref)
				_, has := r.Sealed[w.field]
				return has && h.value(w.ref, w.field) == w.want
			})
		}
		if got := a.has("secrets.yaml", w.path); got != w.want {
			t.Errorf("%s is %q in the file, want %q", w.path, got, w.want)
		}
	}
	must(t, a.v.Verify(ctx))
	must(t, b.v.Verify(ctx))
}

// A vault that two daemons have in common (PostgreSQL) is never given back what a file held before: who read it earlier looks again first.
func TestTwoHomesOfOneVault(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	second := sopshome.New(h.o)
	t.Cleanup(second.Forget)
	for i := range 4 {
		value := fmt.Sprintf("sk-abcdefghijklmnopqrstuvwx%d", i)
		_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", value)})
		must(t, err)
		second.Settle(ctx)
		_, err = second.EditResource(ctx, operator, "smtp", vault.Edit{Secrets: one("value", "smtp-"+value)})
		must(t, err)
		if h.value("openai", "key") != value || h.value("smtp", "value") != "smtp-"+value {
			t.Errorf("%d: %s %s", i, h.value("openai", "key"), h.value("smtp", "value"))
		}
	}
	if v := h.get("openai").Version; v != 5 {
		t.Errorf("version %d: the two took turns in undoing each other", v)
	}
}
