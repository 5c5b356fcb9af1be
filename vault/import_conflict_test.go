package vault_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// What each answer to a conflict does, in earnest and in a dry run, which changes nothing.
func TestImportOverWhatIsThere(t *testing.T) {
	for _, x := range []struct {
		on     vault.Conflict
		dry    string // the outcome that a dry run foretells
		real   string
		refuse bool
		value  string
	}{
		{vault.ConflictRefuse, "conflict", "", true, "value-of-before"}, {"", "conflict", "", true, "value-of-before"},
		{vault.ConflictSkip, "skipped", "skipped", false, "value-of-before"}, {vault.ConflictReplace, "replaced", "replaced", false, "value-that-comes"},
	} {
		h := newHouse(t)
		before, err := h.AddResource(ctx, operator, generic("one", "", "value-of-before"))
		must(t, err)
		bring := func(dry bool) (vault.ImportReport, error) {
			return h.Import(ctx, operator, vault.Import{OnConflict: x.on, DryRun: dry, Items: []vault.NewResource{generic("one", "", "value-that-comes"), generic("two", "shop", "value-number-two")}})
		}
		rep, err := bring(true)
		must(t, err)
		if got, want := fmt.Sprint(outcomes(rep)), "[one "+x.dry+" two added]"; got != want {
			t.Errorf("%q: a dry run says %s, want %s", x.on, got, want)
		}
		r, err := h.Resource(ctx, "one")
		must(t, err)
		if r.Version != before.Version || h.reveal(r, "value") != "value-of-before" || len(h.audited(audit.VaultImport)) != 0 || len(h.audited(audit.ResourceEdit)) != 0 {
			t.Errorf("%q: a dry run did something", x.on)
		}
		rep, err = bring(false)
		if x.refuse {
			wantCode(t, err, fault.HandleTaken)
			if len(rep.Items) != 0 {
				t.Errorf("%q: a refused import tells %+v", x.on, rep)
			}
		} else {
			must(t, err)
			if got, want := fmt.Sprint(outcomes(rep)), "[one "+x.real+" two added]"; got != want {
				t.Errorf("%q: %s, want %s", x.on, got, want)
			}
		}
		r, err = h.Resource(ctx, "one")
		must(t, err)
		if got := h.reveal(r, "value"); got != x.value || r.ID != before.ID {
			t.Errorf("%q: it holds %q", x.on, got)
		}
		_, err = h.Resource(ctx, "two")
		if (fault.CodeOf(err) == fault.UnknownResource) != x.refuse {
			t.Errorf("%q: what is new: %v", x.on, err)
		}
		records := h.audited(audit.VaultImport)
		if x.refuse != (len(records) == 0) {
			t.Errorf("%q: %d records of an import", x.on, len(records))
		}
		if !x.refuse {
			d := records[0].Detail
			if d["on_conflict"] != string(x.on) || d[x.real] != "1" || d["added"] != "1" || len(d) != 3 {
				t.Errorf("%q: on record is %v", x.on, d)
			}
		}
		if edits := h.audited(audit.ResourceEdit); x.real == "replaced" && (len(edits) != 1 || edits[0].Detail["import"] != "yes" || edits[0].Detail["changed"] != "value") {
			t.Errorf("on record: %+v", edits)
		}
	}
}

// A replacement makes a version where anything that the import names is not there yet, and none where all is; what it does not name stays.
func TestImportReplacesOnlyWhatDiffers(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "one", Attrs: map[string]string{"env": "ONE", "env_extra": "ONE_EXTRA"}, Labels: map[string]string{"team": "blue", "tier": "a"},
		Secrets: values("value", "value-of-before", "extra", "extra-of-before")})
	must(t, err)
	version := uint64(1)
	for _, x := range []struct {
		name string
		n    vault.NewResource
		want vault.ImportedAs
	}{
		{"the value alone", vault.NewResource{Secrets: values("value", "value-of-before")}, vault.ImportUnchanged},
		{"all of it", vault.NewResource{Attrs: map[string]string{"env": "ONE"}, Labels: map[string]string{"team": "blue"}, Secrets: values("value", "value-of-before", "extra", "extra-of-before")}, vault.ImportUnchanged},
		{"another attribute", vault.NewResource{Attrs: map[string]string{"env": "UNO"}, Secrets: values("value", "value-of-before")}, vault.ImportReplaced},
		{"the same again", vault.NewResource{Attrs: map[string]string{"env": "UNO"}, Secrets: values("value", "value-of-before")}, vault.ImportUnchanged},
		{"another label", vault.NewResource{Labels: map[string]string{"team": "red"}, Secrets: values("value", "value-of-before")}, vault.ImportReplaced},
		{"a label more", vault.NewResource{Labels: map[string]string{"team": "red", "new": "x"}, Secrets: values("value", "value-of-before")}, vault.ImportReplaced},
		{"another project", vault.NewResource{Project: "shop", Secrets: values("value", "value-of-before")}, vault.ImportReplaced},
		{"back from there", vault.NewResource{Secrets: values("value", "value-of-before")}, vault.ImportReplaced},
		{"another value", vault.NewResource{Secrets: values("value", "value-that-comes")}, vault.ImportReplaced},
		{"a field more", vault.NewResource{Secrets: values("value", "value-that-comes", "third", "third-that-comes")}, vault.ImportReplaced},
	} {
		x.n.Kind, x.n.Handle = "generic", "one"
		rep, err := h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{x.n}})
		must(t, err)
		if x.want == vault.ImportReplaced {
			version++
		}
		r, err := h.Resource(ctx, "one")
		must(t, err)
		if rep.Items[0].Outcome != x.want || r.Version != version {
			t.Errorf("%s: %s, version %d, want %s, %d", x.name, rep.Items[0].Outcome, r.Version, x.want, version)
		}
	}
	r, err := h.Resource(ctx, "one")
	must(t, err)
	if r.Project != vault.DefaultProject || r.Attrs["env"] != "UNO" || r.Attrs["env_extra"] != "ONE_EXTRA" || !maps.Equal(r.Labels, map[string]string{"team": "red", "tier": "a", "new": "x"}) {
		t.Errorf("%s %v %v", r.Project, r.Attrs, r.Labels)
	}
	if h.reveal(r, "value") != "value-that-comes" || h.reveal(r, "extra") != "extra-of-before" || h.reveal(r, "third") != "third-that-comes" {
		t.Error("its values are not what was imported over what was there")
	}
	h.reopen()
}

// What a kind derives of a value goes with the value: it is neither compared nor brought by itself.
func TestImportReplacesADatabase(t *testing.T) {
	h := newHouse(t)
	bring := func(url string) vault.ImportedAs {
		t.Helper()
		rep, err := h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{{Kind: "database", Handle: "db", Secrets: values("url", url)}}})
		must(t, err)
		return rep.Items[0].Outcome
	}
	const first, second = "postgres://app:correct-horse-7f3a@db.example.org/app", "postgres://other:another-horse-91c2@db.example.org/app2"
	if got := []vault.ImportedAs{bring(first), bring(first), bring(second), bring(second)}; fmt.Sprint(got) != "[added unchanged replaced unchanged]" {
		t.Error(got)
	}
	r, err := h.Resource(ctx, "db")
	must(t, err)
	if h.reveal(r, "url") != second || h.reveal(r, "password") != "another-horse-91c2" || r.Attrs["user"] != "other" || r.Attrs["database"] != "app2" {
		t.Errorf("%v", r.Attrs)
	}
}

// A resource whose rotation is under way is not written over, and nothing else of that import happens.
func TestImportDoesNotCrossARotation(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, generic("one", "", "value-of-before"))
	must(t, err)
	_, _, err = h.BeginRotation(ctx, operator, "one", vault.NewRotation{Method: "guided", Secrets: values("value", "value-of-the-rotation")})
	must(t, err)
	_, err = h.Import(ctx, operator, vault.Import{OnConflict: vault.ConflictReplace, Items: []vault.NewResource{generic("two", "", "value-number-two"), generic("one", "", "value-that-comes")}})
	wantCode(t, err, fault.ResourceBusy)
	if d := fault.Of(err).Details["handle"]; d != "one" {
		t.Errorf("the refusal names %v", d)
	}
	_, err = h.Resource(ctx, "two")
	wantCode(t, err, fault.UnknownResource)
	r, err := h.Resource(ctx, "one")
	must(t, err)
	if h.reveal(r, "value") != "value-of-before" {
		t.Error("it was written over")
	}
}

// A project is made once, however many resources are for it, and one that cannot be refuses the import, by the resource's name.
func TestImportMakesAProjectOnce(t *testing.T) {
	h := newHouse(t)
	rep, err := h.Import(ctx, operator, vault.Import{Items: []vault.NewResource{generic("one", "shop", "value-number-one"), generic("two", "shop", "value-number-two")}})
	must(t, err)
	if fmt.Sprint(rep.Projects) != "[shop]" {
		t.Errorf("%v", rep.Projects)
	}
	rep, err = h.Import(ctx, operator, vault.Import{Items: []vault.NewResource{generic("three", "shop", "value-number-three")}})
	must(t, err)
	if len(rep.Projects) != 0 {
		t.Errorf("made again: %v", rep.Projects)
	}
	bad := generic("four", "No Slug", "value-number-four")
	given := secret.FromString("value-that-is-wiped")
	bad.Secrets["value"] = given
	_, err = h.Import(ctx, operator, vault.Import{Items: []vault.NewResource{bad}})
	if err == nil || fault.Of(err).Details["handle"] != "four" || !given.IsZero() {
		t.Errorf("%v, %v, wiped: %v", err, fault.Of(err).Details, given.IsZero())
	}
}
