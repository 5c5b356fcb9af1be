package vault_test

import (
	"fmt"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// Three processes' vaults over one PostgreSQL, each with a connection, a cache and an audit chain of its own: what one promised, no other promises.
func TestNothingIsPromisedTwiceOverReplicas(t *testing.T) {
	server := postgrestest.Start(t)
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	_, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	o := postgres.Options{URL: server.URL("sslmode=disable"), Schema: "contend", Patience: time.Minute}
	made, err := postgres.Create(ctx, o)
	must(t, err)
	must(t, vault.PutHeader(ctx, made, header))
	must(t, made.Close())
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var replicas []*vault.Vault
	for i := range 3 {
		st, err := postgres.Open(ctx, o)
		must(t, err)
		k, err := keyring.Unlock(header, []age.Identity{ident})
		must(t, err)
		v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k), Clock: func() time.Time { return now }, Writer: fmt.Sprintf("replica_%d", i)})
		must(t, err)
		t.Cleanup(func() {
			must(t, v.Close(ctx))
			must(t, st.Close())
			k.Close()
		})
		replicas = append(replicas, v)
	}
	must(t, replicas[0].Setup(ctx))
	vaulttest.Contend(t, now, replicas...)
	for _, v := range replicas {
		must(t, v.Verify(ctx))
	}
}
