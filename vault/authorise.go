package vault

import (
	"context"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Visible gives an agent a page of the resources that it may use.
func (v *Vault) Visible(ctx context.Context, actor Actor, f Filter) ([]Resource, string, error) {
	var a Agent
	err := v.view(ctx, func(tx store.Tx) (err error) {
		a, err = v.agentOf(tx, actor)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	rs, next, err := v.list(ctx, f, func(r Resource) bool { return visible(r, a) })
	if err != nil {
		return nil, "", err
	}
	e := audit.Event{Actor: actor, Action: audit.ResourceList, Outcome: audit.Allowed, Detail: map[string]string{"count": utoa(uint64(len(rs)))}}
	return rs, next, v.Note(ctx, e)
}

// VisibleOne gives an agent one resource that it may use.
func (v *Vault) VisibleOne(ctx context.Context, actor Actor, handle string) (r Resource, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		a, err := v.agentOf(tx, actor)
		if err != nil {
			return err
		}
		if r, err = v.byHandle(tx, handle); err == nil && !visible(r, a) {
			err = noResource()
		}
		return err
	})
	if err != nil {
		return Resource{}, v.deny(ctx, actor, audit.ResourceList, "", "", err)
	}
	return r, v.Note(ctx, audit.Event{Actor: actor, Action: audit.ResourceList, Outcome: audit.Allowed, Subject: r.ID, Handle: r.Handle})
}

// Authorise tells what refs (handles or lease ids) give to the actor now, or the refusal. It consumes nothing and promises nothing: StartRun asks again.
func (v *Vault) Authorise(ctx context.Context, actor Actor, refs []string) (uses []Use, err error) {
	subject := ""
	err = v.view(ctx, func(tx store.Tx) error {
		uses, subject, err = v.authorise(tx, actor, refs)
		return err
	})
	if err != nil {
		return nil, v.deny(ctx, actor, audit.LeaseUse, subject, "", err)
	}
	return uses, nil
}

// MaxRefs is how many resources one run may use.
const MaxRefs = 64

// authorise resolves every ref; the same resource twice is one use. It gives the ref that was refused, where it has the shape of ours.
func (v *Vault) authorise(tx store.Tx, actor Actor, refs []string) ([]Use, string, error) {
	if len(refs) == 0 || len(refs) > MaxRefs {
		return nil, "", fault.Newf(fault.InvalidArgument, "name 1 to %d resources by handle or lease id", MaxRefs).WithNext("call list_resources to see what there is")
	}
	seen := map[string]bool{}
	uses := make([]Use, 0, len(refs))
	for _, ref := range refs {
		u, err := v.authoriseOne(tx, actor, ref)
		if err != nil {
			if CheckHandle(ref) != nil && !id.Is(ref, id.Lease) {
				ref = ""
			}
			return nil, ref, err
		}
		if !seen[u.Resource.ID] {
			seen[u.Resource.ID] = true
			uses = append(uses, u)
		}
	}
	return uses, "", nil
}

func (v *Vault) authoriseOne(tx store.Tx, actor Actor, ref string) (Use, error) {
	if actor.Type == audit.Operator {
		r, err := v.byHandle(tx, ref)
		if err != nil {
			return Use{}, err
		}
		return Use{Resource: r}, v.usable(tx, r)
	}
	a, err := v.agentOf(tx, actor)
	if err != nil {
		return Use{}, err
	}
	if id.Is(ref, id.Lease) {
		u, err := v.byLease(tx, a, ref)
		if err != nil {
			return Use{}, err
		}
		return v.asking(tx, a, u)
	}
	r, err := v.byHandle(tx, ref)
	if err != nil {
		return Use{}, err
	}
	if !visible(r, a) {
		return Use{}, noResource()
	}
	if err := v.usable(tx, r); err != nil {
		return Use{}, err
	}
	l, err := v.standing(tx, a, actor.Context, r)
	if err != nil {
		return Use{}, err
	}
	if l.ID == "" { // a bare handle: an implicit lease, one use, made when the run starts
		l = Lease{Agent: a.ID, Resource: r.ID, Handle: r.Handle, Project: r.Project, Implicit: true, MaxUses: 1, Purpose: "one call"}
	}
	return v.asking(tx, a, Use{Lease: l, Resource: r, StandInOnly: standInOnly(r, a)})
}

// byLease finds what a lease id gives; approval is asked for where it is used. Another agent's lease is answered like none at all; the audit record tells them apart.
func (v *Vault) byLease(tx store.Tx, a Agent, ref string) (Use, error) {
	l, err := v.leases.Get(tx, ref)
	if err != nil {
		return Use{}, found(err, noLease())
	}
	if l.Agent != a.ID {
		return Use{}, fault.New(fault.LeaseNotYours, "the lease is not yours, or does not exist", "call allocate_resource to get one of your own")
	}
	if err := v.leaseLives(l); err != nil {
		return Use{}, err
	}
	r, err := v.resources.Get(tx, l.Resource)
	if err != nil {
		return Use{}, found(err, noResource())
	}
	if !visible(r, a) { // grants or policy narrowed since
		return Use{}, noResource()
	}
	return Use{Lease: l, Resource: r, StandInOnly: standInOnly(r, a)}, v.usable(tx, r)
}

// asking puts into a use what it asks of a person, and refuses what they look at before anything runs with it: an environment that an agent's repository defines.
func (v *Vault) asking(tx store.Tx, a Agent, u Use) (Use, error) {
	r := u.Resource
	if r.Kind == kind.Environment && r.Policy.Approval == policy.ApprovalFirst {
		return Use{}, fault.New(fault.ApprovalRequired, "what "+r.Handle+" is made of is new, and a person looks at it before agents use it",
			"ask the operator: `zavhoz resource show "+r.Handle+"`, then `zavhoz resource policy "+r.Handle+" --approval none`; what was allowed before can be used meanwhile")
	}
	var err error
	u.Asks, err = v.asks(tx, a, r)
	return u, err
}

func noLease() *fault.Error {
	return fault.New(fault.UnknownLease, "the lease is not yours, or does not exist", "call allocate_resource to get one")
}

// leaseLives refuses a lease that has ended.
func (v *Vault) leaseLives(l Lease) error {
	again := "call allocate_resource for a new lease"
	switch {
	case !l.ReleasedAt.IsZero() && l.ReleasedWhy == "redactions":
		return fault.New(fault.LeaseExhausted, "the lease ended because its runs printed secret values too often", "ask the operator to look at `zavhoz audit list`")
	case !l.ReleasedAt.IsZero() && l.ReleasedWhy == "expired":
		return fault.New(fault.LeaseExpired, "the lease has expired", again)
	case !l.ReleasedAt.IsZero() && l.ReleasedWhy == "revoked":
		return fault.New(fault.LeaseReleased, "the operator ended the lease", "ask the operator, before you call allocate_resource again")
	case !l.ReleasedAt.IsZero():
		return fault.New(fault.LeaseReleased, "the lease was released", again)
	case !v.now().Before(l.ExpiresAt):
		return fault.New(fault.LeaseExpired, "the lease has expired", again)
	case l.MaxUses > 0 && l.Used >= l.MaxUses:
		return fault.New(fault.LeaseExhausted, "the lease has no uses left", again)
	}
	return nil
}

// usable refuses a resource that is off, expired or used up.
func (v *Vault) usable(tx store.Tx, r Resource) error {
	operator := "ask the operator"
	switch {
	case r.Status == Gone:
		return goneFault(r)
	case r.Status != Active:
		return fault.New(fault.ResourceDisabled, "the resource "+r.Handle+" is disabled", operator+": `zavhoz resource edit "+r.Handle+" --status active`")
	case !r.Policy.Expires.IsZero() && !v.now().Before(r.Policy.Expires):
		return fault.New(fault.ResourceExpired, "the resource "+r.Handle+" has expired", operator+": `zavhoz resource policy "+r.Handle+" --expires …`")
	case r.Policy.MaxUses > 0:
		c, err := v.counters.Get(tx, r.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if c.Uses >= r.Policy.MaxUses {
			return fault.New(fault.ResourceExhausted, "the resource "+r.Handle+" has no uses left", operator+": `zavhoz resource policy "+r.Handle+" --max-uses …`")
		}
	}
	return nil
}

// standing finds the agent's live explicit lease of r, of the same context before any other, the longest first.
func (v *Vault) standing(tx store.Tx, a Agent, context string, r Resource) (best Lease, err error) {
	err = v.live.Scan(tx, r.ID+"/", "", func(_ string, l link) (bool, error) {
		x, err := v.leases.Get(tx, l.ID)
		if err != nil {
			return false, found(err, fault.New(fault.VaultCorrupt, "a live lease is lost", "restore from a backup"))
		}
		if x.Agent != a.ID || x.Implicit || v.leaseLives(x) != nil {
			return true, nil
		}
		better := best.ID == "" || (x.Context == context) != (best.Context == context) && x.Context == context ||
			(x.Context == context) == (best.Context == context) && x.ExpiresAt.After(best.ExpiresAt)
		if better {
			best = x
		}
		return true, nil
	})
	return best, err
}

// ttlOf is how long a lease of r may live: what was asked, cut to the policy and to what is left of the resource.
func (v *Vault) ttlOf(r Resource, asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = DefaultTTL
	}
	asked = min(asked, MaxTTL)
	if r.Policy.MaxTTL > 0 {
		asked = min(asked, time.Duration(r.Policy.MaxTTL)*time.Second)
	}
	if !r.Policy.Expires.IsZero() {
		asked = min(asked, r.Policy.Expires.Sub(v.now()))
	}
	return asked
}
