package sopshome_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// TestAttack63_ACodeWritesOneResource: a resource that is asked for goes to the file that new ones go to, and one code writes one, however many use it at once.
func TestAttack63_ACodeWritesOneResource(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	h.o.AddTo = "secrets.yaml"
	h.restart()
	q := vault.SecretRequest{Kind: "api_key", Handle: "openai_main", Reason: "to ask the model"}
	i, err := h.v.RequestSecret(ctx, operator, q)
	must(t, err)
	_, code, err := h.v.IntakeCode(ctx, operator, i.ID)
	must(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for n := range errs {
		wg.Go(func() {
			_, errs[n] = h.GiveByCode(ctx, i.ID, code, vault.Given{Handle: fmt.Sprint("given_", n), Attrs: map[string]string{"service": "openai"}, Secrets: one("key", keyB)})
		})
	}
	wg.Wait()
	given := ""
	for n, err := range errs {
		if err == nil {
			given += fmt.Sprint("given_", n)
		} else if c := fault.CodeOf(err); c != fault.Unauthenticated {
			t.Errorf("%d: %v", n, err)
		}
	}
	h.restart()
	plain := p.Sops(p.Dir, "decrypt", "secrets.yaml")
	if strings.Count(plain, "given_") != 1 || !strings.Contains(plain, given+":") || h.get(given).Source != "sops:secrets.yaml" {
		t.Errorf("%q was acknowledged; the file holds\n%s", given, plain)
	}
	must(t, h.v.Verify(ctx))

	i, err = h.v.RequestSecret(ctx, operator, vault.SecretRequest{Kind: "api_key", Handle: "second", Reason: "another"})
	must(t, err)
	_, err = h.GiveIntake(ctx, operator, i.ID, vault.Given{Attrs: map[string]string{"service": "openai"}, Secrets: one("key", keyA)})
	must(t, err)
	if h.has("secrets.yaml", `["api_keys"]["second"]["key"]`) != keyA || h.get("second").Source != "sops:secrets.yaml" {
		t.Error("a person's own answer did not reach the file")
	}
}
