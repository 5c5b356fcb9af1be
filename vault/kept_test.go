package vault_test

import (
	"reflect"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// What a vault keeps in memory of what it wrote is what another process reads from the store, to the last nil.
func TestWhatIsKeptIsWhatOthersRead(t *testing.T) {
	first := newHouse(t)
	var both [2]*vault.Vault // by the real clock, which is more than what is stored of it
	for i := range both {
		v, err := vault.Open(ctx, vault.Options{Store: first.store, Keyring: first.k, Opener: open.New(first.k)})
		must(t, err)
		defer func() { must(t, v.Close(ctx)) }()
		both[i] = v
	}
	h, other := both[0], both[1]
	r, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "kept", Labels: map[string]string{"a": "b"}, Secrets: map[string]secret.Secret{"value": secret.FromString("first value of it")}})
	must(t, err)
	same := func(what string) {
		t.Helper()
		ours, err := h.Resource(ctx, r.ID)
		must(t, err)
		theirs, err := other.Resource(ctx, r.ID)
		must(t, err)
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s: here\n%#v\nthere\n%#v", what, ours, theirs)
		}
		here, err := h.History(ctx, r.ID)
		must(t, err)
		there, err := other.History(ctx, r.ID)
		must(t, err)
		if !reflect.DeepEqual(here, there) {
			t.Errorf("%s: history here\n%#v\nthere\n%#v", what, here, there)
		}
	}
	value := func(s string) map[string]secret.Secret {
		return map[string]secret.Secret{"value": secret.FromString(s)}
	}
	edit := func(what string, e vault.Edit) {
		t.Helper()
		got, err := h.EditResource(ctx, operator, r.ID, e)
		must(t, err)
		same(what)
		if got.Labels != nil {
			got.Labels["held"] = "on to by its caller"
		}
		if e.Labels != nil {
			e.Labels["a"] = "changed by its caller"
		}
		same(what + ", when its caller changed it")
	}
	edit("a value", vault.Edit{Secrets: value("second value of it")})
	edit("labels", vault.Edit{Labels: map[string]string{"c": "d"}})
	edit("no labels", vault.Edit{Labels: map[string]string{"a": "", "c": ""}})
	edit("a policy", vault.Edit{Policy: &policy.Policy{MaxUses: 7, Agents: []string{}}})
	edit("a value after it", vault.Edit{Secrets: value("third value of it")})
	_, err = h.RenameResource(ctx, operator, r.ID, "kept_on")
	must(t, err)
	same("renamed")
	_, err = h.RollbackResource(ctx, operator, r.ID, 2, "")
	must(t, err)
	same("rolled back")

	p, err := h.AddProject(ctx, operator, "kept", "")
	must(t, err)
	for _, v := range []string{"a first value of it", "a second value of it"} {
		_, err := h.MergeProjectSecrets(ctx, operator, p.ID, vault.SecretMerge{Secrets: map[string]vault.SecretChange{"KEY": {Value: secret.FromString(v)}}, Hints: map[string]string{"KEY": "what it is"}})
		must(t, err)
		ours, err := h.ViewProject(ctx, operator, p.ID)
		must(t, err)
		theirs, err := other.ViewProject(ctx, operator, p.ID)
		must(t, err)
		_, hereKnown, err := h.ProjectSecrets(ctx, operator, p.ID)
		must(t, err)
		_, thereKnown, err := other.ProjectSecrets(ctx, operator, p.ID)
		must(t, err)
		if !reflect.DeepEqual(ours, theirs) || !reflect.DeepEqual(hereKnown, thereKnown) {
			t.Errorf("a project: here\n%#v %#v\nthere\n%#v %#v", ours, hereKnown, theirs, thereKnown)
		}
	}
}
