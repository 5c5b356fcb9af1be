package vault_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// beside is another daemon on the same store: what one remembers is not what the other wrote since.
func beside(t *testing.T, h *house) *vault.Vault {
	t.Helper()
	v, err := vault.Open(ctx, vault.Options{Store: h.store, Keyring: h.k, Opener: open.New(h.k), Clock: h.clock})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close(ctx)) })
	return v
}

func setting(field, value string) vault.Edit {
	return vault.Edit{Secrets: map[string]secret.Secret{field: secret.FromString(value)}}
}

// What was foreseen of an edit on an earlier state of the resource is not what is written: another daemon's edit in between stays.
func TestWhatWasForeseenOfAnEarlierStateIsNotWritten(t *testing.T) {
	h := newHouse(t)
	other := beside(t, h)
	r := addGeneric(t, h.Vault, "g")
	edit := func(v *vault.Vault, ref string, e vault.Edit) (vault.Resource, error) {
		return v.EditResource(ctx, operator, ref, e)
	}
	_, err := edit(h.Vault, r.ID, setting("one", "the first of one")) // h remembers this state
	must(t, err)
	e := setting("two", "the first of two")
	e.Attrs = map[string]string{"env": "CHANGED"}
	_, err = edit(other, "g", e)
	must(t, err)
	for _, ref := range []string{r.ID, "g"} {
		e := setting("one", "another of one, by "+ref) // and all that h knows of, for only what opens nothing is foreseen
		e.Secrets["value"], e.Secrets["two"] = secret.FromString("value-of-version-1"), secret.FromString("the first of two")
		now, err := edit(h.Vault, ref, e)
		must(t, err)
		if now.Attrs["env"] != "CHANGED" || now.Attrs["fields"] != "one,two,value" {
			t.Fatalf("the attributes are of an earlier state: %v", now.Attrs)
		}
		for field, want := range map[string]string{"one": "another of one, by " + ref, "two": "the first of two", "value": "value-of-version-1"} {
			if got := h.reveal(now, field); got != want {
				t.Errorf("%s is %q", field, got)
			}
		}
		_, err = edit(other, "g", setting("two", "the first of two")) // and back to what h does not know of
		must(t, err)
	}
	_, err = h.Resource(ctx, r.ID) // known again: now it is foreseen, and written as it was
	must(t, err)
	e = setting("one", "the last of one")
	e.Secrets["value"], e.Secrets["two"] = secret.FromString("value-of-version-1"), secret.FromString("the first of two")
	now, err := edit(h.Vault, r.ID, e)
	must(t, err)
	if h.reveal(now, "one") != "the last of one" || h.reveal(now, "two") != "the first of two" {
		t.Error("a value that was foreseen is another")
	}
	again, err := h.reopen().Resource(ctx, r.ID)
	must(t, err)
	if again.Version != now.Version || h.reveal(again, "one") != "the last of one" {
		t.Errorf("version %d is read as %d", now.Version, again.Version)
	}
}

// Many edits at once of one resource: each is foreseen on a state that others change. All of them are there in the end, each under a version of its own.
func TestEditsAtOnceOfOneResourceAreAllThere(t *testing.T) {
	h := newHouse(t)
	r := addGeneric(t, h.Vault, "g")
	var all sync.WaitGroup
	const writers, rounds = 8, 10
	for n := range writers {
		all.Go(func() {
			for i := range rounds {
				_, err := h.EditResource(ctx, operator, r.ID, setting(fmt.Sprint("field_", n), fmt.Sprintf("the value of %d in round %d", n, i)))
				must(t, err)
			}
		})
	}
	all.Wait()
	now, err := h.reopen().Resource(ctx, r.ID)
	must(t, err)
	if now.Version != 1+writers*rounds {
		t.Errorf("version %d", now.Version)
	}
	for n := range writers {
		if got := h.reveal(now, fmt.Sprint("field_", n)); got != fmt.Sprintf("the value of %d in round %d", n, rounds-1) {
			t.Errorf("field_%d is %q", n, got)
		}
	}
}

// Many edits at once of the one value of a resource, each of which is foreseen: each has a version of its own, and the last is what is read.
func TestEditsAtOnceOfOneValueHaveVersionsOfTheirOwn(t *testing.T) {
	h := newHouse(t)
	r := addGeneric(t, h.Vault, "g")
	var all sync.WaitGroup
	const writers, rounds = 8, 10
	var made [writers * rounds]vault.Resource
	for n := range writers {
		all.Go(func() {
			for i := range rounds {
				var err error
				made[n*rounds+i], err = h.EditResource(ctx, operator, r.ID, setting("value", fmt.Sprintf("the value of %d in round %d", n, i)))
				must(t, err)
			}
		})
	}
	all.Wait()
	last := h.reopen()
	now, err := last.Resource(ctx, r.ID)
	must(t, err)
	seen := map[uint64]bool{}
	for at, x := range made {
		want := fmt.Sprintf("the value of %d in round %d", at/rounds, at%rounds)
		if got := h.reveal(x, "value"); got != want || seen[x.Version] || x.Sealed["value"].Version != x.Version {
			t.Errorf("version %d, sealed as %d, is %q, not %q", x.Version, x.Sealed["value"].Version, got, want)
		}
		if seen[x.Version] = true; x.Version == 1+writers*rounds && h.reveal(now, "value") != want {
			t.Errorf("the last is read as %q, not %q", h.reveal(now, "value"), want)
		}
	}
	if now.Version != 1+writers*rounds {
		t.Errorf("version %d", now.Version)
	}
}

// As many earlier values of a project's secret stay as are kept, whoever adds or purges them in between; and where all are to go, all go.
func TestEarlierValuesAreCountedWhoeverWritesThem(t *testing.T) {
	h := newHouse(t)
	both := []*vault.Vault{h.Vault, beside(t, h)}
	p := h.project("counted")
	merge := func(i int, purge bool) {
		t.Helper()
		_, err := both[i%2].MergeProjectSecrets(ctx, operator, p.ID, vault.SecretMerge{Purge: purge, Secrets: map[string]vault.SecretChange{"KEY": {Value: secret.FromString(fmt.Sprint("value number ", i))}}})
		must(t, err)
	}
	want := func(n int) {
		t.Helper()
		if got := len(h.rows("project_former")); got != n {
			t.Errorf("%d earlier values, not %d", got, n)
		}
	}
	for i := range 8 { // two in a row by each: the second by memory, the first after another wrote
		merge(i/2, false)
	}
	want(7)
	_, _, err := both[1].PurgeProjectSecret(ctx, operator, p.ID, "KEY", vault.Purge{Before: 5})
	must(t, err)
	want(3)
	for i := range 6 {
		merge(i/3, false)
	}
	want(9)
	for i := range 6 {
		merge(i/2, false)
	}
	want(vault.KeepVersions)
	merge(0, true)
	want(0)
	merge(0, false)
	merge(1, true)
	want(0)
	must(t, h.reopen().Verify(ctx))
}
