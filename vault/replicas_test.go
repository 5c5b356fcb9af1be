package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// replicas are several vaults over one database, each with connections, memory and keys of its own, as daemons have.
type replicas struct {
	server *postgrestest.Server
	all    []*vault.Vault
	stores []*postgres.Store
	rings  []*keyring.Keyring
}

// newReplicas makes a vault and opens it n times: each replica unlocks by itself.
func newReplicas(t *testing.T, n int) *replicas {
	t.Helper()
	r := &replicas{server: postgrestest.Start(t)}
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	k.Close()
	for i := range n {
		st, err := postgres.Create(ctx, postgres.Options{URL: r.server.URL("sslmode=disable")})
		must(t, err)
		t.Cleanup(func() { must(t, st.Close()) })
		if i == 0 {
			must(t, vault.PutHeader(ctx, st, header))
		}
		kept, err := vault.Header(ctx, st)
		must(t, err)
		k, err := keyring.Unlock(kept, []age.Identity{ident})
		must(t, err)
		t.Cleanup(func() { k.Close() })
		v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k), Verify: i > 0})
		must(t, err)
		if i == 0 {
			must(t, v.Setup(ctx))
		}
		r.all, r.stores, r.rings = append(r.all, v), append(r.stores, st), append(r.rings, k)
	}
	return r
}

// check closes the vaults and holds every record, the chain and every seal to their keys, from each replica's connections.
func (r *replicas) check(t *testing.T) (n migrate.Counts) {
	t.Helper()
	for _, v := range r.all {
		must(t, v.Close(ctx))
	}
	for i, st := range r.stores {
		var err error
		if n, err = migrate.Check(ctx, st, r.rings[i], open.New(r.rings[i])); err != nil {
			t.Fatalf("replica %d: %v", i, err)
		}
	}
	return n
}

// Three replicas add, edit, lease, release and note side by side: the accounts, the chain and every seal hold, and nothing that was acknowledged is missing.
func TestReplicasWriteOneVault(t *testing.T) {
	r := newReplicas(t, 3)
	const each = 6
	var wg sync.WaitGroup
	for i, v := range r.all {
		for w := range 3 {
			wg.Go(func() {
				for j := range each {
					handle := fmt.Sprintf("r%d_%d_%d", i, w, j)
					if _, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: handle, Secrets: map[string]secret.Secret{"value": secret.FromString("first value of it")}}); err != nil {
						t.Errorf("add %s: %v", handle, err)
						return
					}
					next := r.all[(i+1)%len(r.all)]
					if _, err := next.EditResource(ctx, operator, handle, vault.Edit{Secrets: map[string]secret.Secret{"value": secret.FromString("second value of it")}}); err != nil {
						t.Errorf("edit %s by another replica: %v", handle, err)
					}
					must(t, v.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}))
				}
			})
		}
	}
	wg.Wait()
	all := len(r.all) * 3 * each
	for i, v := range r.all {
		rs, _, err := v.ListResources(ctx, vault.Filter{Limit: 500})
		if err != nil || len(rs) != all {
			t.Errorf("replica %d: %d resources of %d, %v", i, len(rs), all, err)
		}
		for _, x := range rs {
			if x.Version != 2 {
				t.Errorf("%s has version %d", x.Handle, x.Version)
			}
		}
	}
	n := r.check(t)
	if want := uint64(1 + 2 + 3*all); n.Seals != uint64(2*all) || n.Audit != want { // init, two openings; add, edit and note
		t.Errorf("%+v, want %d audit records and %d seals", n, want, 2*all)
	}
}

// What is contended for is promised once, whichever replica is asked.
func TestReplicasPromiseNothingTwice(t *testing.T) {
	r := newReplicas(t, 3)
	vaulttest.Contend(t, time.Now(), r.all...)
	r.check(t)
}

// A resource that may be used three times is used three times by all replicas together, and a lease that one of them took back is at once of no use at the others.
func TestUsesAndLeasesHoldOverReplicas(t *testing.T) {
	r := newReplicas(t, 3)
	_, err := r.all[0].AddResource(ctx, operator, vault.NewResource{
		Kind: "generic", Handle: "thrice", Policy: policy.Policy{MaxUses: 3}, Secrets: map[string]secret.Secret{"value": secret.FromString("a value of it")},
	})
	must(t, err)
	local, err := r.all[1].Local(ctx)
	must(t, err)
	who := vault.Actor{Type: audit.Agent, ID: local.ID, Name: local.Name, Door: "stdio"}
	var used atomic.Int64
	var wg sync.WaitGroup
	for i := range 12 {
		v := r.all[i%3]
		wg.Go(func() {
			uses, err := v.Authorise(ctx, who, []string{"thrice"})
			if err != nil {
				return
			}
			if _, _, err := v.StartRun(ctx, who, vault.Run{Command: []string{"true"}, Isolation: "sealed", Delivered: map[string]string{"thrice": "broker"}}, uses); err == nil {
				used.Add(1)
			} else if code := fault.CodeOf(err); code != fault.ResourceExhausted {
				t.Errorf("refused as %s", code)
			}
		})
	}
	wg.Wait()
	if used.Load() != 3 {
		t.Errorf("it was used %d times", used.Load())
	}

	_, err = r.all[0].AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "leased", Secrets: map[string]secret.Secret{"value": secret.FromString("a value of it")}})
	must(t, err)
	for i := range 9 {
		a, err := r.all[i%3].Allocate(ctx, who, vault.AllocateRequest{Handle: "leased", Purpose: "test"})
		must(t, err)
		if _, err := r.all[(i+1)%3].Authorise(ctx, who, []string{a.Lease.ID}); err != nil {
			t.Fatalf("another replica does not know the lease: %v", err)
		}
		_, err = r.all[(i+1)%3].Release(ctx, who, a.Lease.ID)
		must(t, err)
		_, err = r.all[(i+2)%3].Authorise(ctx, who, []string{a.Lease.ID})
		wantCode(t, err, fault.LeaseReleased)
	}
	r.check(t)
}

// No value is in a dump of the database, or in the log from which it recovers: raw, in base64 or in hex.
func TestAttack66_NoValueIsInADumpOrTheWAL(t *testing.T) {
	r := newReplicas(t, 1)
	v := r.all[0]
	canaries := make([]string, 5)
	for i := range canaries {
		canaries[i] = fmt.Sprintf("canary-%d-Qz7vLk2mXw9pRt4s", i)
		handle := fmt.Sprintf("kept_%d", i)
		_, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: handle, Attrs: map[string]string{"env": "PLAIN_" + fmt.Sprint(i)}, Secrets: map[string]secret.Secret{"value": secret.FromString("before " + canaries[i])}})
		must(t, err)
		_, err = v.EditResource(ctx, operator, handle, vault.Edit{Secrets: map[string]secret.Secret{"value": secret.FromString(canaries[i])}})
		must(t, err)
	}
	must(t, v.Noted(ctx))
	r.server.AdminExec(t, postgrestest.Database, "CHECKPOINT")
	dump := exec.Command(r.server.Bin("pg_dump"), "--inserts", r.server.URL("sslmode=disable"))
	text, err := dump.Output()
	must(t, err)
	if !bytes.Contains(text, []byte(hex.EncodeToString([]byte("PLAIN_3")))) { // bytea is dumped in hex: the search must find what is there
		t.Fatal("the dump does not hold what it should")
	}
	files := map[string][]byte{"pg_dump": text, "pg_dump, bytea decoded": unhex(text)}
	must(t, filepath.WalkDir(r.server.Data(), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		files[path] = b
		return err
	}))
	plain := 0
	for name, b := range files {
		if bytes.Contains(b, []byte("PLAIN_3")) {
			plain++
		}
		for _, c := range canaries {
			for _, shape := range shapes(c) {
				if bytes.Contains(b, shape) {
					t.Errorf("%s holds a value as %q", name, shape[:8])
				}
			}
		}
	}
	if plain < 3 { // the dump decoded, a table, the WAL
		t.Errorf("what is public was found in %d places", plain)
	}
}

// shapes gives a value as it could be written: raw, in hex, and in base64 at each of its three alignments.
func shapes(s string) (out [][]byte) {
	out = append(out, []byte(s), []byte(hex.EncodeToString([]byte(s))), bytes.ToUpper([]byte(hex.EncodeToString([]byte(s)))))
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := enc.EncodeToString(append(make([]byte, shift), s...))
			from := (shift*8 + 5) / 6
			out = append(out, []byte(coded[from:len(coded)-2]))
		}
	}
	return out
}

// unhex gives what stands as '\x…' in a dump.
func unhex(dump []byte) (out []byte) {
	for _, part := range bytes.Split(dump, []byte(`'\x`))[1:] {
		digits, _, _ := bytes.Cut(part, []byte("'"))
		if b, err := hex.DecodeString(string(digits)); err == nil {
			out = append(append(out, b...), '\n')
		}
	}
	return out
}
