package vault_test

import (
	"fmt"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func generic(handle, project, value string) vault.NewResource {
	return vault.NewResource{Kind: "generic", Handle: handle, Project: project, Secrets: values("value", value)}
}

func (h *house) audited(action audit.Action) (out []audit.Record) {
	h.t.Helper()
	log, _ := h.Audit()
	must(h.t, h.store.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Limit: 500})
		for _, r := range rs {
			if r.Action == action {
				out = append(out, r)
			}
		}
		return err
	}))
	return out
}

func outcomes(rep vault.ImportReport) (out []string) {
	for _, i := range rep.Items {
		out = append(out, fmt.Sprintf("%s %s", i.Handle, i.Outcome))
	}
	return out
}

func TestImportIsAllOrNothing(t *testing.T) {
	h := newHouse(t)
	h.addBot("weather_bot")
	given := secret.FromString("a-value-that-is-wiped")
	items := []vault.NewResource{
		generic("one", "shop", "value-number-one"),
		{Kind: "generic", Handle: "two", Secrets: map[string]secret.Secret{"value": given}},
		generic("weather_bot", "", "value-number-three"),
	}
	_, err := h.Import(ctx, operator, vault.Import{Items: items})
	wantCode(t, err, fault.HandleTaken)
	if d := fault.Of(err).Details["handle"]; d != "weather_bot" {
		t.Errorf("the refusal names %v", d)
	}
	if !given.IsZero() {
		t.Error("a refused import left a value in memory")
	}
	for _, handle := range []string{"one", "two"} {
		_, err := h.Resource(ctx, handle)
		wantCode(t, err, fault.UnknownResource)
	}
	ps, err := h.ListProjects(ctx)
	must(t, err)
	if len(ps) != 1 || len(h.audited(audit.VaultImport)) != 0 {
		t.Errorf("something of it happened: %d projects", len(ps))
	}
}

func TestImportAdds(t *testing.T) {
	h := newHouse(t)
	dry, err := h.Import(ctx, operator, vault.Import{DryRun: true, Items: []vault.NewResource{generic("one", "shop", "value-number-one"), generic("two", "", "value-number-two")}})
	must(t, err)
	if _, err := h.Resource(ctx, "one"); fault.CodeOf(err) != fault.UnknownResource {
		t.Fatal("a dry run added something")
	}
	rep, err := h.Import(ctx, operator, vault.Import{Items: []vault.NewResource{generic("one", "shop", "value-number-one"), generic("two", "", "value-number-two")}})
	must(t, err)
	if got, want := fmt.Sprint(outcomes(rep), rep.Projects), "[one added two added] [shop]"; got != want || got != fmt.Sprint(outcomes(dry), dry.Projects) {
		t.Errorf("got %s, want %s; the dry run said %v", got, want, outcomes(dry))
	}
	r, err := h.Resource(ctx, "one")
	must(t, err)
	if r.Project != "shop" || h.reveal(r, "value") != "value-number-one" {
		t.Error("what was added is not what was imported")
	}
	if n, m := len(h.audited(audit.ResourceAdd)), len(h.audited(audit.VaultImport)); n != 2 || m != 1 {
		t.Errorf("%d records of resources and %d of imports", n, m)
	}
	h.reopen()
}

func TestImportReplaces(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: "box", Attrs: map[string]string{"user": "deploy", "port": "2222"}, Secrets: values("host", "203.0.113.9", "password", "correct-horse-7f3a")})
	must(t, err)
	bring := func(password string) vault.Import {
		n := vault.NewResource{Kind: "server", Handle: "box", Secrets: values("host", "203.0.113.9", "password", password), Why: "imported"}
		return vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{n}}
	}
	rep, err := h.Import(ctx, operator, bring("correct-horse-7f3a"))
	must(t, err)
	if rep.Items[0].Outcome != vault.ImportUnchanged {
		t.Errorf("the same again is %s", rep.Items[0].Outcome)
	}
	rep, err = h.Import(ctx, operator, bring("another-horse-91c2"))
	must(t, err)
	r, err := h.Resource(ctx, "box")
	must(t, err)
	if rep.Items[0].Outcome != vault.ImportReplaced || r.Version != 2 || h.reveal(r, "password") != "another-horse-91c2" {
		t.Errorf("%s, version %d", rep.Items[0].Outcome, r.Version)
	}
	if r.Attrs["user"] != "deploy" || r.Attrs["port"] != "2222" {
		t.Errorf("an import that names no user and no port changed them: %v", r.Attrs)
	}
	old, err := h.RollbackResource(ctx, operator, "box", 1, "")
	must(t, err)
	if h.reveal(old, "password") != "correct-horse-7f3a" {
		t.Error("the version before was not kept")
	}
	_, err = h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{generic("box", "", "some-value-of-another-kind")}})
	wantCode(t, err, fault.HandleTaken)
	rep, err = h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictSkip, Items: []vault.NewResource{generic("box", "", "some-value-of-another-kind"), generic("new", "", "value-number-one")}})
	must(t, err)
	if got := fmt.Sprint(outcomes(rep)); got != "[box skipped new added]" {
		t.Error(got)
	}
	h.reopen()
}

func TestImportOfTheSameHandleTwice(t *testing.T) {
	h := newHouse(t)
	for _, on := range []vault.Conflict{vault.ConflictRefuse, vault.ConflictSkip, vault.ConflictReplace} {
		_, err := h.Import(ctx, operator, vault.Import{OnConflict: on, Items: []vault.NewResource{generic("one", "", "value-number-one"), generic("one", "", "value-number-two")}})
		wantCode(t, err, fault.HandleTaken)
	}
	_, err := h.Import(ctx, operator, vault.Import{OnConflict: "merge"})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.Import(ctx, operator, vault.Import{Items: make([]vault.NewResource, vault.MaxImport+1)})
	wantCode(t, err, fault.TooLarge)
}

// An import brings no rules, whatever its items say.
func TestImportBringsNoPolicy(t *testing.T) {
	h := newHouse(t)
	n := generic("one", "", "value-number-one")
	n.Policy.MaxUses = 7
	_, err := h.Import(ctx, operator, vault.Import{Items: []vault.NewResource{n}})
	must(t, err)
	r, err := h.Resource(ctx, "one")
	must(t, err)
	if r.Policy.MaxUses != 0 {
		t.Error("the import set a policy")
	}
}

// What has a file as its home is written there, or not at all: the file would take it back.
func TestImportLeavesFilesAlone(t *testing.T) {
	h := newHouse(t)
	n := generic("one", "", "value-number-one")
	n.Source = "sops:secrets.yaml"
	_, err := h.AddResource(ctx, operator, n)
	must(t, err)
	rep, err := h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{generic("one", "", "value-number-one")}})
	must(t, err)
	if rep.Items[0].Outcome != vault.ImportUnchanged {
		t.Error(rep.Items[0].Outcome)
	}
	_, err = h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{generic("one", "", "value-number-two")}})
	wantCode(t, err, fault.NotSupported)
}

// BenchmarkImport is the import of 10,000 secrets in one transaction.
func BenchmarkImport(b *testing.B) {
	v, _, _ := benchVault(b, 0)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		items := make([]vault.NewResource, 10_000)
		for i := range items {
			items[i] = generic(fmt.Sprintf("secret_%d_%d", n, i), "", fmt.Sprintf("value-%d-abcdefghijklmnopqrstuvwxyz0123456789", i))
		}
		b.StartTimer()
		_, err := v.Import(ctx, operator, vault.Import{Items: items})
		check(b, err)
	}
}
