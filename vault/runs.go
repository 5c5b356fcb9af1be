package vault

import (
	"context"
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// KeepEnded is how long records of ended runs and leases stay.
const KeepEnded = 30 * 24 * time.Hour

// StartRun records a run before anything of it happens, in one transaction: it authorises again, makes the implicit leases, counts the uses,
// spends the word of a person that it may need, writes the run and its audit record. What it returns is durable. run gives Command, Isolation,
// Delivered, Background and Proposal, planned what Authorise gave; the rest is set here.
// Errors: those of Authorise, delivery_refused, approval_required (the request is kept by then), approval_denied, rate_limited.
func (v *Vault) StartRun(ctx context.Context, actor Actor, run Run, planned []Use) (Run, []Use, error) {
	var uses []Use
	subject := ""
	refs := make([]string, len(planned))
	for i, u := range planned {
		refs[i] = u.Resource.ID
		if u.Lease.ID != "" {
			refs[i] = u.Lease.ID
		}
	}
	var refused error
	err := v.update(ctx, func(tx store.Tx) (err error) {
		refused = nil
		if len(refs) > 0 || actor.Type != audit.Operator { // a person may run an agent of theirs that uses nothing of the vault
			if uses, subject, err = v.authorise(tx, actor, refs); err != nil {
				return err
			}
		}
		now := v.now()
		run.Format, run.ID, run.Actor, run.State, run.StartedAt = 1, id.New(id.Run), actor, RunRunning, now
		run.Host = v.replica.Host
		run.Owner, run.Leases, run.Handles, run.Approval = v.replica.ID, nil, nil, ""
		for _, u := range uses {
			if err := MayDeliver(u, policy.Delivery(run.Delivered[u.Resource.Handle])); err != nil {
				return err
			}
		}
		if refused, err = v.approved(tx, actor, &run, uses); refused != nil || err != nil {
			return err
		}
		for i := range uses {
			u := &uses[i]
			if err := v.spend(tx, actor, u); err != nil {
				return err
			}
			run.Handles = append(run.Handles, u.Resource.Handle)
			if u.Lease.ID != "" {
				run.Leases = append(run.Leases, u.Lease.ID)
			}
		}
		if err := errors.Join(v.runs.Put(tx, run.ID, run), v.liveRuns.Put(tx, run.ID, link{run.ID})); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.RunStart, Outcome: audit.Allowed, Subject: run.ID, Handle: clip(joinNames(run.Handles), 200), Detail: delivered(run)})
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Run{}, nil, v.deny(ctx, actor, audit.RunStart, subject, "", err)
	}
	run.Proposal = nil
	return run, uses, nil
}

// MayDeliver holds the last word on values that leave: an agent that no token proves gets stand-ins only.
func MayDeliver(u Use, d policy.Delivery) error {
	if u.StandInOnly && (d == policy.Env || d == policy.File) {
		return fault.New(fault.DeliveryRefused, "the agent `"+LocalAgent+"` may use "+u.Resource.Handle+" by stand-in only, and this command needs the value itself",
			"ask the operator to name the agent: `zavhoz resource policy "+u.Resource.Handle+" --agent "+LocalAgent+"`")
	}
	return nil
}

// spend counts one use, and makes the implicit lease where there is none.
func (v *Vault) spend(tx store.Tx, actor Actor, u *Use) error {
	c, err := v.counters.Get(tx, u.Resource.ID)
	if err = ignoreNotFound(err); err != nil {
		return err
	}
	c.Uses++
	if err := v.counters.Put(tx, u.Resource.ID, c); err != nil || actor.Type != audit.Agent {
		return err
	}
	l := &u.Lease
	l.Used++
	if l.ID != "" {
		return v.leases.Put(tx, l.ID, *l)
	}
	now := v.now()
	l.Format, l.ID, l.Context, l.CreatedAt, l.ExpiresAt = 1, id.New(id.Lease), actor.Context, now, now.Add(v.ttlOf(u.Resource, MaxTTL))
	return v.putLease(tx, *l)
}

func delivered(run Run) map[string]string {
	d := map[string]string{"isolation": run.Isolation}
	if run.Approval != "" {
		d["approval"] = run.Approval
	}
	for _, how := range run.Delivered {
		d["delivery"] = how
	}
	return d
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// EndRun records how a run ended, and ends its implicit leases.
func (v *Vault) EndRun(ctx context.Context, run Run) error {
	return v.update(ctx, func(tx store.Tx) error { return v.endRun(tx, run) })
}

func (v *Vault) endRun(tx store.Tx, run Run) error {
	if run.EndedAt.IsZero() {
		run.EndedAt = v.now()
	}
	if err := errors.Join(v.runs.Put(tx, run.ID, run), v.liveRuns.Delete(tx, run.ID)); err != nil {
		return err
	}
	for _, lid := range run.Leases {
		l, err := v.leases.Get(tx, lid)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!l.Implicit || !l.ReleasedAt.IsZero()) {
			continue
		}
		if err != nil {
			return err
		}
		if err := v.endLease(tx, &l, "used"); err != nil {
			return err
		}
	}
	outcome := audit.Allowed
	if run.State == RunFailed || run.State == RunLost {
		outcome = audit.Failed
	}
	return v.audit.Append(tx, audit.Event{
		Actor: run.Actor, Action: audit.RunEnd, Outcome: outcome, Subject: run.ID, Handle: clip(joinNames(run.Handles), 200), Code: run.Code,
		Detail: map[string]string{"state": string(run.State), "redactions": utoa(uint64(max(run.Redactions, 0)))},
	})
}

// GetRun gives a run to the agent that started it, or to the operator.
func (v *Vault) GetRun(ctx context.Context, actor Actor, runID string) (run Run, err error) {
	missing := fault.New(fault.UnknownRun, "there is no such run, or it is not yours", "run_with_resource gives the run_id")
	if !id.Is(runID, id.Run) {
		return run, v.deny(ctx, actor, audit.RunRead, "", "", missing)
	}
	err = v.view(ctx, func(tx store.Tx) error {
		if run, err = v.runs.Get(tx, runID); err != nil {
			return found(err, missing)
		}
		if actor.Type == audit.Agent && run.Actor.ID != actor.ID {
			return fault.New(fault.RunNotYours, missing.Message, missing.Next)
		}
		return nil
	})
	if err != nil {
		return Run{}, v.deny(ctx, actor, audit.RunRead, runID, "", err)
	}
	return run, nil
}

// Runs lists runs that are not ended, of one agent where actor is one.
func (v *Vault) Runs(ctx context.Context, actor Actor) (out []Run, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.liveRuns.Scan(tx, "", "", func(key string, _ link) (bool, error) {
			r, err := v.runs.Get(tx, key)
			if err == nil && (actor.Type != audit.Agent || r.Actor.ID == actor.ID) {
				out = append(out, r)
			}
			return true, err
		})
	})
	return out, err
}

// MarkLost ends the runs that a daemon before this one left running. It tells how many.
func (v *Vault) MarkLost(ctx context.Context) (int, error) {
	left, err := v.Runs(ctx, SystemActor("start"))
	for _, r := range left {
		err = errors.Join(err, v.lose(ctx, r))
	}
	return len(left), err
}

// lose ends a run of which nobody will tell how it ended.
func (v *Vault) lose(ctx context.Context, r Run) error {
	return v.update(ctx, func(tx store.Tx) error {
		now, err := v.runs.Get(tx, r.ID)
		if err != nil || now.State != RunRunning { // its owner has told meanwhile
			return err
		}
		now.State, now.Code = RunLost, string(fault.RunLost)
		now.Message, now.Next = "the daemon ended while the run went on; what came of it is not known", "look at what it did before you run it again"
		return v.endRun(tx, now)
	})
}
