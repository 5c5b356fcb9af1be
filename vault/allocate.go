package vault

import (
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
// the same idempotency key gives the same lease while it lives.
func (v *Vault) Allocate(ctx context.Context, actor Actor, q AllocateRequest) (out Allocation, err error) {
	if err := q.check(); err != nil {
		return out, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		out = Allocation{}
		a, err := v.agentOf(tx, actor)
		if err != nil {
			return err
		}
		if done, err := v.repeated(tx, a, q, &out); done || err != nil {
			return err
		}
		if err := v.room(tx, a); err != nil {
			return err
		}
		r, ports, err := v.choose(tx, a, q)
		if err != nil {
			return err
		}
		now := v.now()
		out.Resource = r
		out.Lease = Lease{
			Format: 1, ID: id.New(id.Lease), Agent: a.ID, Context: q.Context, Resource: r.ID, Handle: r.Handle, Project: r.Project, Purpose: q.Purpose,
			Demand: q.Demand, Ports: ports, MaxUses: q.MaxUses, IdemKey: q.IdemKey, CreatedAt: now, ExpiresAt: now.Add(v.ttlOf(r, q.TTL)),
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
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.LeaseAllocate, Outcome: audit.Allowed, Subject: out.Lease.ID, Handle: r.Handle, Detail: map[string]string{"resource": r.ID}})
	})
	if err != nil {
		if CheckHandle(q.Handle) != nil { // anything else may be a value in the wrong place
			q.Handle = ""
		}
		return Allocation{}, v.deny(ctx, actor, audit.LeaseAllocate, "", q.Handle, err)
	}
	return out, nil
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
	case len(q.Demand.Ports) > 16:
		return bad("at most 16 ports in one lease", "")
	case min(q.Demand.RAMMB, q.Demand.DiskMB, q.Demand.CPU) < 0 || max(q.Demand.RAMMB, q.Demand.DiskMB) > 1<<30 || q.Demand.CPU > 1<<16:
		return bad("requirements are positive numbers: megabytes and cores", "")
	}
	seen := map[int]bool{}
	for _, p := range q.Demand.Ports {
		if p != 0 && (p < 1024 || p > 65535 || seen[p]) {
			return bad("a port is 0 (any free one) or between 1024 and 65535, each once", "")
		}
		seen[p] = true
	}
	return nil
}

// digest is what must be equal for an idempotency key to be the same call.
func (q AllocateRequest) digest() string {
	q.IdemKey = ""
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

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
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

// choose finds the resource: the one named, or the best of the kind.
func (v *Vault) choose(tx store.Tx, a Agent, q AllocateRequest) (Resource, []int, error) {
	if q.Handle != "" {
		r, err := v.byHandle(tx, q.Handle)
		if err != nil {
			return r, nil, err
		}
		if !visible(r, a) || q.Project != "" && q.Project != r.Project {
			return r, nil, noResource()
		}
		if err := v.usable(tx, r); err != nil {
			return r, nil, err
		}
		return v.fit(tx, []Resource{r}, q.Demand)
	}
	if _, err := kind.Get(q.Kind); err != nil {
		return Resource{}, nil, err
	}
	var all []Resource
	var refused error
	err := v.handles.Scan(tx, "", "", func(_ string, l link) (bool, error) {
		r, err := v.resources.Get(tx, l.ID)
		if err != nil {
			return false, found(err, fault.New(fault.VaultCorrupt, "a handle leads to a resource that is lost", "restore from a backup"))
		}
		if r.Kind != q.Kind || q.Project != "" && q.Project != r.Project || !visible(r, a) {
			return true, nil
		}
		if err := v.usable(tx, r); err != nil {
			refused = err
			return true, nil
		}
		all = append(all, r)
		return true, nil
	})
	switch {
	case err != nil:
		return Resource{}, nil, err
	case len(all) == 0 && refused != nil:
		return Resource{}, nil, refused
	case len(all) == 0:
		return Resource{}, nil, fault.New(fault.NoneAvailable, "there is no "+q.Kind+" that you may use", "ask the operator to add one: `zavhoz resource add "+q.Kind+" HANDLE …`")
	}
	return v.fit(tx, all, q.Demand)
}
