package vault_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// benchVault is a vault with n resources on a real file. Ratios to floors are cmd/internal/bench's business; here is what to profile.
func benchVault(b *testing.B, n int) (v *vault.Vault, o *open.Opener, ids []string) {
	ident, err := age.GenerateX25519Identity()
	check(b, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	check(b, err)
	st, err := bolt.Create(b.Context(), bolt.Options{Path: filepath.Join(b.TempDir(), "vault.db")})
	check(b, err)
	o = open.New(k)
	v, err = vault.Open(b.Context(), vault.Options{Store: st, Keyring: k, Opener: o})
	check(b, err)
	check(b, v.Setup(b.Context()))
	for i := range n {
		ids = append(ids, benchAdd(b, v, fmt.Sprintf("first_%d", i)).ID)
	}
	b.Cleanup(func() {
		check(b, v.Close(context.Background()))
		check(b, st.Close())
		k.Close()
	})
	return v, o, ids
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Error(err)
	}
}

func value() map[string]secret.Secret {
	return map[string]secret.Secret{"value": secret.FromString("a-value-as-long-as-keys-of-providers-are")}
}

func benchAdd(b *testing.B, v *vault.Vault, handle string) vault.Resource {
	r, err := v.AddResource(b.Context(), vault.OperatorActor(), vault.NewResource{Kind: "generic", Handle: handle, Secrets: value()})
	check(b, err)
	return r
}

func benchEdit(b *testing.B, v *vault.Vault, id string) {
	_, err := v.EditResource(b.Context(), vault.OperatorActor(), id, vault.Edit{Secrets: value()})
	check(b, err)
}

// How many projects secrets are merged into, and how many each has.
const (
	benchProjects = 20
	benchNames    = 10
)

func benchMerge(b *testing.B, v *vault.Vault, project, name int) {
	m := vault.SecretMerge{Secrets: map[string]vault.SecretChange{fmt.Sprintf("KEY_%d", name): {Value: value()["value"]}}}
	_, err := v.MergeProjectSecrets(b.Context(), vault.OperatorActor(), fmt.Sprintf("project-%d", project), m)
	check(b, err)
}

// writers runs op b.N times, from so many goroutines.
func writers(b *testing.B, n int, op func(i int)) {
	var at atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for i := int(at.Add(1)); i <= b.N; i = int(at.Add(1)) {
				op(i)
			}
		})
	}
	wg.Wait()
}

// Goal 3: writes that are sealed, authenticated, audited and durable.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprintf("add/writers=%d", n), func(b *testing.B) {
			v, _, _ := benchVault(b, 200)
			writers(b, n, func(i int) { benchAdd(b, v, fmt.Sprintf("then_%d", i)) })
		})
		b.Run(fmt.Sprintf("edit/writers=%d", n), func(b *testing.B) {
			v, _, ids := benchVault(b, 200)
			writers(b, n, func(i int) { benchEdit(b, v, ids[i%len(ids)]) })
		})
		b.Run(fmt.Sprintf("merge/writers=%d", n), func(b *testing.B) {
			v, _, _ := benchVault(b, 0)
			for p := range benchProjects {
				_, err := v.AddProject(b.Context(), vault.OperatorActor(), fmt.Sprintf("project-%d", p), "")
				check(b, err)
				for name := range benchNames {
					benchMerge(b, v, p, name)
				}
			}
			writers(b, n, func(i int) { benchMerge(b, v, i%benchProjects, i/benchProjects%benchNames) })
		})
	}
}

// Goal 4: a resource read and its secret opened.
func BenchmarkGetOpen(b *testing.B) {
	v, o, ids := benchVault(b, 1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, err := v.Resource(b.Context(), ids[i%len(ids)])
		check(b, err)
		s, err := o.Open(r.FieldRef("value"), r.Sealed["value"].Value)
		check(b, err)
		s.Wipe()
	}
}
