package run

import (
	"context"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// A run that is under way uses a credential that was exchanged meanwhile, and never one that was given for another place.
func TestALiveRunFollowsARotation(t *testing.T) {
	ident, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ring, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	version := func(n uint64, host uint64) vault.Resource {
		r := vault.Resource{ID: "res_aaaaaaaaaaaaaaaaaaaaaaaaaa", Handle: "vps", Kind: "server", Attrs: map[string]string{"port": "22"}, Version: n, Sealed: map[string]vault.Sealed{}}
		for field, v := range map[string]uint64{"ssh_key": n, "host": host} {
			text, err := ring.Seal(keyring.Ref{Type: "resource", ID: r.ID, Field: field, Version: v}, secret.FromString(field+" of "+string(rune('0'+v))))
			if err != nil {
				t.Fatal(err)
			}
			r.Sealed[field] = vault.Sealed{Value: text, Version: v}
		}
		return r
	}
	then := version(1, 1)
	for name, c := range map[string]struct {
		now  func() (vault.Resource, error)
		want string
	}{
		"exchanged":       {func() (vault.Resource, error) { return version(2, 1), nil }, "ssh_key of 2"},
		"another address": {func() (vault.Resource, error) { return version(2, 2), nil }, "ssh_key of 1"},
		"another port": {func() (vault.Resource, error) {
			r := version(2, 1)
			r.Attrs = map[string]string{"port": "2222"}
			return r, nil
		}, "ssh_key of 1"},
		"other hosts": {func() (vault.Resource, error) {
			r := version(2, 1)
			r.Policy.Hosts = []policy.HostRule{{Host: "elsewhere.example"}}
			return r, nil
		}, "ssh_key of 1"},
		"removed": {func() (vault.Resource, error) {
			return vault.Resource{}, fault.New(fault.UnknownResource, "gone", "")
		}, "ssh_key of 1"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{o: Options{Opener: open.New(ring), Present: func(context.Context, string) (vault.Resource, error) { return c.now() }}}
			s, err := e.unseal(then, "ssh_key")
			if err != nil || string(s.Reveal()) != c.want {
				t.Errorf("%v: another than the %s", err, c.want)
			}
		})
	}
}
