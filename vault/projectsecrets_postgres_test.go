package vault_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
)

// replicaHouses are three replicas' vaults over one PostgreSQL, with a project bot. o says what differs from the usual.
func replicaHouses(t *testing.T, o vault.Options) (server *postgrestest.Server, replicas []*house) {
	t.Helper()
	server = postgrestest.Start(t)
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	t.Cleanup(func() { k.Close() })
	for i := range 3 {
		at := postgres.Options{URL: server.URL("sslmode=disable"), Schema: "replicas"}
		st, err := postgres.Open(ctx, at)
		if i == 0 {
			st, err = postgres.Create(ctx, at)
		}
		must(t, err)
		t.Cleanup(func() { must(t, st.Close()) })
		if i == 0 {
			must(t, vault.PutHeader(ctx, st, header))
		}
		h := &house{t: t, store: st, k: k, opener: open.New(k)}
		o.Store, o.Keyring, o.Opener, o.Writer = st, k, h.opener, fmt.Sprint("replica", i)
		h.Vault, err = vault.Open(ctx, o)
		must(t, err)
		t.Cleanup(func() { must(t, h.Vault.Close(ctx)) })
		if i == 0 {
			must(t, h.Setup(ctx))
			h.project("bot")
		}
		replicas = append(replicas, h)
	}
	return server, replicas
}

// Three replicas on one PostgreSQL: merges at once lose nothing, and of all that insert a password one alone is told that its is the one.
func TestParallelMergesOnReplicas(t *testing.T) {
	_, replicas := replicaHouses(t, vault.Options{})
	const n = 60
	var wg sync.WaitGroup
	errs, inserted := make([]error, 2*n), make([]bool, n)
	for i := range n {
		h := replicas[i%len(replicas)]
		wg.Go(func() {
			_, errs[i] = h.MergeProjectSecrets(ctx, operator, "bot", given(fmt.Sprint("KEY_", i), fmt.Sprint("value-", i)))
		})
		wg.Go(func() {
			m := given("POSTGRES_PASSWORD", fmt.Sprint("generated-", i))
			m.IfAbsent = true
			out, err := h.MergeProjectSecrets(ctx, operator, "bot", m)
			errs[n+i], inserted[i] = err, err == nil && len(out.Existed) == 0
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	for _, h := range replicas {
		got := h.secretsOf("bot")
		winners := 0
		for i := range n {
			if got[fmt.Sprint("KEY_", i)] != fmt.Sprint("value-", i) {
				t.Errorf("KEY_%d is lost", i)
			}
			if inserted[i] {
				winners++
				if got["POSTGRES_PASSWORD"] != fmt.Sprint("generated-", i) {
					t.Errorf("%d was told that its password is the one", i)
				}
			}
		}
		if winners != 1 || len(got) != n+1 {
			t.Errorf("%d winners, %d names", winners, len(got))
		}
	}
	must(t, replicas[0].Verify(ctx))
}
