//go:build unix

package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
)

const spendEnv = "ZAVHOZ_VAULT_TEST_SPEND" // "WHEN FOLDER AGENT": make the approved call there, and be killed then

// killing is a store whose daemon is killed in its first write: before it is durable, or right after.
type killing struct {
	store.Store
	after bool
}

func (k killing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := k.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if !k.after {
			die()
		}
		return nil
	}); err != nil {
		return err
	}
	die()
	return nil
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func init() {
	words := strings.Fields(os.Getenv(spendEnv))
	if len(words) != 3 {
		return
	}
	h, err := kept(words[1], func(st store.Store) store.Store { return killing{st, words[0] == "after"} })
	if err == nil {
		_, err = called(h, vault.Actor{Type: audit.Agent, ID: words[2], Name: "one", Door: "http"}, "deploy", "bot")
	}
	fmt.Println(err)
	os.Exit(3)
}

// kept opens the vault of a folder, with the key that lies beside it.
func kept(dir string, over func(store.Store) store.Store) (*vault.Vault, error) {
	text, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		return nil, err
	}
	ident, err := age.ParseX25519Identity(string(text))
	if err != nil {
		return nil, err
	}
	st, err := bolt.Open(ctx, bolt.Options{Path: filepath.Join(dir, "vault.db")})
	if err != nil {
		return nil, err
	}
	header, err := vault.Header(ctx, st)
	if err != nil {
		return nil, err
	}
	k, err := keyring.Unlock(header, []age.Identity{ident})
	if err != nil {
		return nil, err
	}
	return vault.Open(ctx, vault.Options{Store: over(st), Keyring: k, Opener: open.New(k)})
}

// TestAWordAndItsRunAreOne: of a daemon that is killed while an approved run begins there are both or neither, the spent word and the record of the run; what is not spent is good after.
func TestAWordAndItsRunAreOne(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		dir := t.TempDir()
		ident, err := age.GenerateX25519Identity()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "key"), []byte(ident.String()), 0o600))
		k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
		must(t, err)
		st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(dir, "vault.db")})
		must(t, err)
		must(t, vault.PutHeader(ctx, st, header))
		v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k)})
		must(t, err)
		must(t, v.Setup(ctx))
		_, err = v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "bot", Policy: policy.Policy{Approval: policy.ApprovalAlways}, Secrets: values("value", "a value of it")})
		must(t, err)
		agent, _, err := v.AddAgent(ctx, operator, vault.NewAgent{Name: "one"})
		must(t, err)
		who := vault.Actor{Type: audit.Agent, ID: agent.ID, Name: "one", Door: "http"}
		ref := waiting(t, v, who, "deploy", "bot")
		must(t, decide(v, ref, true))
		must(t, errors.Join(v.Close(ctx), st.Close()))
		k.Close()

		c := exec.Command(os.Args[0], "-test.run=^$")
		c.Env = append(os.Environ(), spendEnv+"="+when+" "+dir+" "+agent.ID)
		out, err := c.CombinedOutput()
		var end *exec.ExitError
		if !errors.As(err, &end) || end.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the child ended otherwise: %v %s", when, err, out)
		}
		again, err := kept(dir, func(st store.Store) store.Store { t.Cleanup(func() { must(t, st.Close()) }); return st })
		must(t, err)
		defer func() { must(t, again.Close(ctx)) }()
		must(t, again.Verify(ctx))
		a, err := again.Approval(ctx, ref, everywhere)
		must(t, err)
		runs, err := again.Runs(ctx, operator)
		must(t, err)
		_, err = called(again, who, "deploy", "bot")
		switch {
		case when == "before" && (a.State != vault.ApprovalApproved || len(runs) != 0 || err != nil):
			t.Errorf("killed before: %s, %d runs; then %v", a.State, len(runs), err)
		case when == "after" && (a.State != vault.ApprovalSpent || len(runs) != 1 || runs[0].ID != a.Run || fault.CodeOf(err) != fault.ApprovalRequired):
			t.Errorf("killed after: %+v, %d runs; then %v", a, len(runs), err)
		}
	}
}
