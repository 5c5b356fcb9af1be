package main

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Sizes of what is measured over PostgreSQL.
const (
	merged      = 200     // projects that secrets are merged into, each with ten
	leaseAmong  = 100_000 // resources
	leaseAgents = 2
	leaseEach   = 500 // leases of an agent
)

// replicas opens the same vault n times more, each with connections, memory and keys of its own, as daemons have.
func (h *house) replicas(ctx context.Context, url string, n int) (all []*house, closeAll func() error, err error) {
	closeAll = func() (err error) {
		for _, r := range all {
			err = errors.Join(err, r.close(ctx))
		}
		return err
	}
	for range n {
		st, err := postgres.Open(ctx, postgres.Options{URL: url})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		header, err := vault.Header(ctx, st)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		r := &house{store: st, ids: h.ids}
		if r.ring, err = keyring.Unlock(header, []age.Identity{h.who}); err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		r.opener = open.New(r.ring)
		if r.Vault, err = vault.Open(ctx, vault.Options{Store: st, Keyring: r.ring, Opener: r.opener}); err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		all = append(all, r)
	}
	return all, closeAll, nil
}

// projects makes the projects that secrets are merged into, and gives each its ten twice: an earlier value of each is there.
func (h *house) projects(ctx context.Context) error {
	for p := range merged {
		if _, err := h.AddProject(ctx, vault.OperatorActor(), projectSlug(p), ""); err != nil {
			return err
		}
		for range 2 {
			m := vault.SecretMerge{Secrets: map[string]vault.SecretChange{}}
			for k := range 10 {
				m.Secrets[mergedName(k*merged)] = vault.SecretChange{Value: secret.FromString(newSecret())}
			}
			if _, err := h.MergeProjectSecrets(ctx, vault.OperatorActor(), projectSlug(p), m); err != nil {
				return err
			}
		}
	}
	return nil
}

func projectSlug(i int) string { return fmt.Sprintf("project-%d", i%merged) }

// mergedName is the secret that the merge of a number gives: each project gets all of them by turns.
func mergedName(i int) string { return fmt.Sprint("KEY_", i/merged%10) }

// merge puts one secret into a project, over the one that it has under that name.
func (h *house) merge(ctx context.Context, i int) error {
	m := vault.SecretMerge{Secrets: map[string]vault.SecretChange{mergedName(i): {Value: secret.FromString(newSecret())}}}
	_, err := h.MergeProjectSecrets(ctx, vault.OperatorActor(), projectSlug(i), m)
	return err
}

// leased is what leases are checked among.
type leased struct {
	resources int
	ids       []string
	actors    []vault.Actor // by the lease's place in ids, in turns
}

// leases fills the vault with resources and gives agents leases of some of them; the floor's table gets as many rows.
func (h *house) leases(ctx context.Context, b *bench, raw *pgxpool.Pool) (out leased, err error) {
	out.resources = leaseAmong
	if b.light {
		out.resources /= 10
	}
	if err := errors.Join(h.fill(ctx, out.resources), rawLeases(ctx, raw, out.resources)); err != nil {
		return out, err
	}
	for i := range leaseAgents {
		a, _, err := h.AddAgent(ctx, vault.OperatorActor(), vault.NewAgent{Name: fmt.Sprint("leaser_", i)})
		if err != nil {
			return out, err
		}
		out.actors = append(out.actors, vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name, Door: "stdio"})
	}
	for i := range leaseAgents * leaseEach {
		got, err := h.Allocate(ctx, out.actors[i%leaseAgents], vault.AllocateRequest{Handle: fmt.Sprintf("bulk_%06d", i*7919%out.resources), Purpose: "measured"})
		if err != nil {
			return out, err
		}
		out.ids = append(out.ids, got.Lease.ID)
	}
	return out, nil
}

// checkLease asks what a lease gives to its agent now.
func (h *house) checkLease(ctx context.Context, l leased, i int) error {
	i %= len(l.ids)
	_, err := h.Authorise(ctx, l.actors[i%leaseAgents], l.ids[i:i+1])
	return err
}
