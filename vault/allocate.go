package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// MaxLeases is how many live explicit leases one agent may hold.
const MaxLeases = 1000

// idemRow remembers what an idempotency key was answered with.
type idemRow struct {
	Lease  string    `json:"lease"`
	Digest string    `json:"digest"`
	Until  time.Time `json:"until"`
}

// Allocate gives a lease by handle or by kind, in one transaction with its audit record: capacity is counted from the first instant, and
// the same idempotency key gives the same lease while it lives. A dry run decides the same and writes nothing but the record that it was asked. Errors: invalid_argument,
// unauthenticated, idempotency_mismatch, rate_limited, unknown_project, not_permitted (For, without a grant of environments), what stands in the way of the resource, none_available, and the refusals of docs/allocation.md.
func (v *Vault) Allocate(ctx context.Context, actor Actor, q AllocateRequest) (out Allocation, err error) {
	if err := q.check(); err != nil {
		return out, err
	}
	transact := v.update
	if q.DryRun {
		transact = v.view
	}
	serves, err := v.servedBy(ctx, actor, q)
	var near []string
	if err == nil {
		near, err = v.candidates(ctx, actor, q)
	}
	if err == nil {
		err = transact(ctx, func(tx store.Tx) error {
			out, err = v.allocate(tx, actor, q, serves, near)
			return err
		})
	}
	if err != nil {
		if CheckHandle(q.Handle) != nil { // anything else may be a value in the wrong place
			q.Handle = ""
		}
		return Allocation{}, v.deny(ctx, actor, audit.LeaseAllocate, "", q.Handle, err)
	}
	if q.DryRun {
		return out, v.Note(ctx, allocated(actor, out, map[string]string{"dry_run": "true"}))
	}
	return out, nil
}

func allocated(actor Actor, a Allocation, detail map[string]string) audit.Event {
	detail["resource"] = a.Resource.ID
	if a.Lease.Project != a.Resource.Project {
		detail["for_project"] = a.Lease.Project
	}
	return audit.Event{Actor: actor, Action: audit.LeaseAllocate, Outcome: audit.Allowed, Subject: a.Lease.ID, Handle: a.Resource.Handle, Detail: detail}
}

// servedBy gives the slug of the project that a lease is to be for, "" where q names none. What the lease holds is then in that project's environments, which persons use: for an agent that may have them
// alone. A reference that leads nowhere has every project looked at, and that keeps no writer waiting.
func (v *Vault) servedBy(ctx context.Context, actor Actor, q AllocateRequest) (slug string, err error) {
	if q.For == "" {
		return "", nil
	}
	err = v.view(ctx, func(tx store.Tx) error {
		p, err := v.projectFor(tx, actor, q.For, ScopeRead)
		if err != nil {
			return err
		}
		slug = p.Slug
		return v.mayEnvironments(tx, actor, p)
	})
	return slug, err
}

// allocate decides, and writes what was decided unless q is a dry run.
func (v *Vault) allocate(tx store.Tx, actor Actor, q AllocateRequest, serves string, near []string) (out Allocation, err error) {
	a, err := v.agentOf(tx, actor)
	if err != nil {
		return out, err
	}
	if done, err := v.repeated(tx, a, q, &out); done || err != nil {
		return out, err
	}
	if err := v.room(tx, a); err != nil {
		return out, err
	}
	if serves != "" {
		if _, err := v.projectFor(tx, actor, serves, ScopeRead); err != nil {
			return out, err
		}
	}
	p, err := v.choose(tx, a, q, near)
	if err != nil {
		return out, err
	}
	now := v.now()
	out.Resource = p.r
	out.Lease = Lease{
		Format: 1, Agent: a.ID, Context: q.Context, Resource: p.r.ID, Handle: p.r.Handle, Project: cmp.Or(serves, p.r.Project), Purpose: q.Purpose,
		Demand: q.Demand, Ports: p.ports, Services: p.services, MaxUses: q.MaxUses, IdemKey: q.IdemKey, CreatedAt: now, ExpiresAt: now.Add(v.ttlOf(p.r, q.TTL)),
	}
	if q.DryRun {
		return out, nil
	}
	out.Lease.ID = id.New(id.Lease)
	return out, v.grant(tx, actor, a, q, p, out)
}

// grant writes a lease. What has expired and gave way to it ends in the same transaction: nobody whose clock is behind can take it for live.
func (v *Vault) grant(tx store.Tx, actor Actor, a Agent, q AllocateRequest, p placement, out Allocation) error {
	for _, l := range p.held.over {
		if err := v.endLease(tx, &l, "expired"); err != nil {
			return err
		}
	}
	if err := v.putLease(tx, out.Lease); err != nil {
		return err
	}
	if q.IdemKey != "" {
		row := idemRow{Lease: out.Lease.ID, Digest: q.digest(), Until: out.Lease.ExpiresAt}
		if err := v.idem.Put(tx, idemKey(a, q), row); err != nil {
			return err
		}
	}
	return v.audit.Append(tx, allocated(actor, out, map[string]string{}))
}

// check refuses what no state could allow.
func (q AllocateRequest) check() error {
	bad := func(text, next string) error { return fault.New(fault.InvalidArgument, text, next) }
	switch {
	case (q.Handle == "") == (q.Kind == ""):
		return bad("name either a handle or a kind", "call list_resources to see both")
	case q.Purpose == "" || longer(q.Purpose, 200) || !printable(q.Purpose):
		return bad("purpose is required: one line of at most 200 characters that says what the resource is for", "")
	case longer(q.Context, 200) || !printable(q.Context):
		return bad("context is one line of at most 200 characters", "")
	case longer(q.IdemKey, 128) || !printable(q.IdemKey):
		return bad("idempotency_key is one line of at most 128 characters", "")
	case q.TTL < 0 || q.TTL > MaxTTL:
		return bad("ttl_s is between 1 and 86400 seconds", "")
	case q.MaxUses < 0:
		return bad("max_uses is not negative", "")
	}
	return q.Demand.check()
}

// digest is what must be equal for an idempotency key to be the same call.
func (q AllocateRequest) digest() string {
	q.IdemKey, q.DryRun = "", false
	b, _ := json.Marshal(q)
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:16])
}

func idemKey(a Agent, q AllocateRequest) string {
	h := sha256.Sum256([]byte(q.IdemKey))
	return a.ID + "/" + hex.EncodeToString(h[:16])
}

// repeated answers a key that was seen before with the same lease, while that lives.
func (v *Vault) repeated(tx store.Tx, a Agent, q AllocateRequest, out *Allocation) (bool, error) {
	if q.IdemKey == "" {
		return false, nil
	}
	row, err := v.idem.Get(tx, idemKey(a, q))
	if errors.Is(err, store.ErrNotFound) || err == nil && !v.now().Before(row.Until) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if row.Digest != q.digest() {
		return false, fault.New(fault.IdempotencyMismatch, "this idempotency_key was used for a different request", "use a fresh key for a new request")
	}
	l, err := v.leases.Get(tx, row.Lease)
	if err != nil || v.leaseLives(l) != nil {
		return false, ignoreNotFound(err)
	}
	u, err := v.byLease(tx, a, l.ID)
	if err != nil {
		return false, err
	}
	out.Lease, out.Resource, out.Repeated = u.Lease, u.Resource, true
	return true, nil
}

// room refuses an agent that hoards leases.
func (v *Vault) room(tx store.Tx, a Agent) error {
	c, err := v.counters.Get(tx, leaseCount(a))
	if err = ignoreNotFound(err); err == nil && c.Uses >= MaxLeases {
		err = fault.Newf(fault.RateLimited, "you hold %d live leases", c.Uses).WithNext("call release_resource for those that you no longer need")
	}
	return err
}

func leaseCount(a Agent) string { return "leases/" + a.ID }

// candidates names the resources of the kind that was asked for, as they are before the transaction that decides: that one then reads them alone, and not all that
// the vault holds while every other writer waits.
func (v *Vault) candidates(ctx context.Context, actor Actor, q AllocateRequest) (ids []string, err error) {
	if q.Handle != "" {
		return nil, nil
	}
	if _, err := kind.Get(q.Kind); err != nil {
		return nil, err
	}
	err = v.view(ctx, func(tx store.Tx) error {
		ids = nil
		a, err := v.agentOf(tx, actor)
		if err != nil {
			return err
		}
		return v.handles.Scan(tx, "", "", func(_ string, l link) (bool, error) {
			r, err := v.resources.Get(tx, l.ID)
			if err != nil {
				return false, found(err, fault.New(fault.VaultCorrupt, "a handle leads to a resource that is lost", "restore from a backup"))
			}
			if suits(r, a, q) {
				ids = append(ids, r.ID)
			}
			return true, nil
		})
	})
	return ids, err
}

// suits tells whether r is one of those that q asks for, and a may use.
func suits(r Resource, a Agent, q AllocateRequest) bool {
	return (q.Kind == "" || r.Kind == q.Kind) && (q.Project == "" || q.Project == r.Project) && visible(r, a)
}

// choose finds the resource: the one named, or the best of the kind.
func (v *Vault) choose(tx store.Tx, a Agent, q AllocateRequest, near []string) (placement, error) {
	if q.Handle == "" {
		return v.chooseOf(tx, a, q, near)
	}
	r, err := v.byHandle(tx, q.Handle)
	if err != nil {
		return placement{}, err
	}
	if !suits(r, a, q) {
		return placement{}, noResource()
	}
	if err := v.usable(tx, r); err != nil {
		return placement{}, err
	}
	return v.place(tx, []Resource{r}, q.Demand, true)
}

func (v *Vault) chooseOf(tx store.Tx, a Agent, q AllocateRequest, near []string) (placement, error) {
	var all []Resource
	var refused error
	for _, rid := range near {
		r, err := v.resources.Get(tx, rid)
		if errors.Is(err, store.ErrNotFound) || err == nil && !suits(r, a, q) { // removed or changed since
			continue
		}
		if err != nil {
			return placement{}, err
		}
		if err := v.usable(tx, r); err != nil {
			refused = err
			continue
		}
		all = append(all, r)
	}
	switch {
	case len(all) == 0 && refused != nil:
		return placement{}, refused
	case len(all) == 0:
		return placement{}, fault.New(fault.NoneAvailable, "there is no "+q.Kind+" that you may use", "call request_secret: a person gives one; or ask the operator to type `zavhoz resource add "+q.Kind+" HANDLE …`")
	}
	return v.place(tx, all, q.Demand, false)
}
