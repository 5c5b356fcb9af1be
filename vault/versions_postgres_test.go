package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Three replicas edit the same resources and merge into the same project while their sessions are ended: each change that was acknowledged is a version of its own, as many of
// them are kept as are to be, and the chain, the counts and the sums hold at every replica. A version is kept without a look whether it is there: this is what that rests on.
func TestVersionsOfReplicasWhoseSessionsEnd(t *testing.T) {
	const keeps = 3
	server, replicas := replicaHouses(t, vault.Options{KeepVersions: keeps})
	handles := []string{"a", "b"}
	for _, handle := range handles {
		addGeneric(t, replicas[0].Vault, handle)
	}
	const each = 12
	var wg sync.WaitGroup
	errs := make([]error, 3*len(handles))
	for i := range errs {
		h, handle := replicas[i%3], handles[i/3]
		wg.Go(func() {
			for n := range each {
				value := secret.FromString(fmt.Sprintf("value-of-%d-%d", i, n))
				_, err := h.EditResource(ctx, operator, handle, vault.Edit{Secrets: map[string]secret.Secret{"value": value}})
				_, merr := h.MergeProjectSecrets(ctx, operator, "bot", given("KEY", fmt.Sprintf("secret-of-%d-%d", i, n)))
				errs[i] = errors.Join(errs[i], err, merr)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 8 {
			server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name = 'zavhoz'")
			server.AdminQuery(t, "SELECT pg_sleep(0.05)::text")
		}
	}()
	wg.Wait()
	<-ended
	must(t, errors.Join(errs...))
	const last = 3*each + 1
	for i, h := range replicas {
		for _, handle := range handles {
			if got := numbers(t, h.Vault, handle); !slices.Equal(got, []uint64{last, last - 1, last - 2, last - 3}) {
				t.Errorf("replica %d: versions of %s: %v", i, handle, got)
			}
		}
		history, err := h.SecretHistory(ctx, operator, "bot", "KEY")
		must(t, err)
		if len(history) != keeps+1 || history[0].Version != uint64(len(handles)*3*each) {
			t.Errorf("replica %d: the project's secret: %+v", i, history)
		}
		must(t, h.Verify(ctx))
	}
}
