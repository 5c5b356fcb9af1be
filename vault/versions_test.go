package vault_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// numbers are the versions that the history shows, newest first.
func numbers(t *testing.T, v *vault.Vault, ref string) (out []uint64) {
	t.Helper()
	rows, err := v.History(ctx, ref)
	must(t, err)
	for _, r := range rows {
		out = append(out, r.Version)
	}
	return out
}

func rotate(t *testing.T, v *vault.Vault, ref, value string) {
	t.Helper()
	_, err := v.EditResource(ctx, operator, ref, vault.Edit{Secrets: map[string]secret.Secret{"value": secret.FromString(value)}})
	must(t, err)
}

func addGeneric(t *testing.T, v *vault.Vault, handle string) vault.Resource {
	t.Helper()
	r, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: handle, Attrs: map[string]string{"env": "G"},
		Secrets: map[string]secret.Secret{"value": secret.FromString("value-of-version-1")}})
	must(t, err)
	return r
}

// What is kept is what the configuration says, also where it said more before.
func TestAsManyVersionsStayAsAreConfigured(t *testing.T) {
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	defer k.Close()
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	defer st.Close()
	with := func(keep int, do func(*vault.Vault)) {
		v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k), KeepVersions: keep, Verify: true})
		must(t, err)
		do(v)
		must(t, v.Close(ctx))
	}
	with(5, func(v *vault.Vault) {
		must(t, v.Setup(ctx))
		addGeneric(t, v, "g")
		for range 9 {
			rotate(t, v, "g", "another-value")
		}
		if got := numbers(t, v, "g"); !slices.Equal(got, []uint64{10, 9, 8, 7, 6, 5}) {
			t.Errorf("5: %v", got)
		}
	})
	with(2, func(v *vault.Vault) {
		if got := numbers(t, v, "g"); len(got) != 6 {
			t.Errorf("a smaller number removed versions before anybody changed the resource: %v", got)
		}
		rotate(t, v, "g", "one-more")
		if got := numbers(t, v, "g"); !slices.Equal(got, []uint64{11, 10, 9}) {
			t.Errorf("2: %v", got)
		}
	})
	with(1, func(v *vault.Vault) {
		rotate(t, v, "g", "and-one-more")
		if got := numbers(t, v, "g"); !slices.Equal(got, []uint64{12, 11}) {
			t.Errorf("1: %v", got)
		}
		must(t, v.Verify(ctx))
	})
}

func TestPurge(t *testing.T) {
	h := newHouse(t)
	r := addGeneric(t, h.Vault, "g")
	other := addGeneric(t, h.Vault, "other")
	rotate(t, h.Vault, "other", "another-value")
	for range 5 { // versions 2 to 6, a day apart
		h.pass(24 * time.Hour)
		rotate(t, h.Vault, "g", "another-value")
	}
	for name, bad := range map[string]vault.Purge{"nothing": {}, "two things": {All: true, Before: 3}, "the future": {OlderThan: -time.Hour}} {
		if _, _, err := h.PurgeVersions(ctx, operator, "g", bad); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err := h.PurgeVersions(ctx, operator, "nobody", vault.Purge{All: true})
	wantCode(t, err, fault.UnknownResource)

	// Version 3 was replaced when 4 came, two days ago.
	h.pass(time.Minute)
	for _, step := range []struct {
		p    vault.Purge
		gone []uint64
	}{
		{vault.Purge{OlderThan: 90 * 24 * time.Hour}, nil},
		{vault.Purge{OlderThan: 3 * 24 * time.Hour}, []uint64{1, 2}},
		{vault.Purge{Before: 5}, []uint64{3, 4}},
		{vault.Purge{Before: 100}, []uint64{5}}, // the present one stays
		{vault.Purge{All: true}, nil},
	} {
		got, gone, err := h.PurgeVersions(ctx, operator, "g", step.p)
		must(t, err)
		if !slices.Equal(gone, step.gone) || got.Version != 6 {
			t.Errorf("%+v removed %v, want %v", step.p, gone, step.gone)
		}
	}
	if got := numbers(t, h.Vault, "g"); !slices.Equal(got, []uint64{6}) {
		t.Errorf("left: %v", got)
	}
	if got := numbers(t, h.Vault, "other"); len(got) != 2 {
		t.Errorf("another resource's versions went too: %v", got)
	}
	_, err = h.RollbackResource(ctx, operator, "g", 3, "")
	wantCode(t, err, fault.UnknownVersion)
	log, _ := h.Audit()
	must(t, h.store.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: audit.ResourcePurge})
		if err != nil || len(rs) != 5 || rs[2].Subject != r.ID || rs[2].Detail["versions"] != "2" || rs[2].Detail["from"] != "3" || rs[2].Detail["to"] != "4" {
			t.Errorf("the records of it: %+v %v", rs, err)
		}
		return nil
	}))
	must(t, h.Verify(ctx))
	if other.ID == r.ID {
		t.Error("one resource")
	}
}

// The version that holds a rotation's old credential stays however often the resource is edited meanwhile.
func TestTheOldCredentialStaysThroughEdits(t *testing.T) {
	h := newHouse(t)
	addGeneric(t, h.Vault, "one")
	_, x := beginRotation(t, h)
	label := func(n int) {
		t.Helper()
		_, err := h.EditResource(ctx, operator, "one", vault.Edit{Labels: map[string]string{"n": fmt.Sprint(n)}})
		must(t, err)
	}
	for n := range vault.KeepVersions + 3 {
		label(n)
	}
	if got := numbers(t, h.Vault, "one"); !slices.Contains(got, x.Base) {
		t.Errorf("the version %d is gone: %v", x.Base, got)
	}
	must(t, h.Verify(ctx))
}
