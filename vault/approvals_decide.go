package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

func noApproval(text string) *fault.Error {
	return fault.New(fault.UnknownApproval, text, "`zavhoz approvals` lists what waits")
}

// within tells whether every resource of the call lies within: who may not see one of them sees nothing of the call.
func (a Approval) within(in func(slug string) bool) bool {
	return !slices.ContainsFunc(a.Uses, func(u ApprovalUse) bool { return !in(u.Project) })
}

// Approvals lists requests that wait or are approved, oldest first: an agent's own with those that were just denied, and for an operator all of them whose resources lie within.
func (v *Vault) Approvals(ctx context.Context, actor Actor, within func(slug string) bool) (out []Approval, err error) {
	agent := ""
	if actor.Type == audit.Agent {
		agent = actor.ID
	}
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		all, err := v.askedBy(tx, agent)
		for _, a := range all {
			if v.stateOf(a) == ApprovalExpired || agent == "" && (a.State == ApprovalDenied || !a.within(within)) {
				continue
			}
			why, oerr := v.outdated(tx, a)
			if err = errors.Join(err, oerr); why == "" {
				out = append(out, a)
			}
		}
		return err
	})
	slices.SortFunc(out, func(a, b Approval) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// Approval gives one request to an operator, in whatever state it is; unknown_approval.
func (v *Vault) Approval(ctx context.Context, ref string, within func(slug string) bool) (a Approval, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		if a, err = v.approvalOf(tx, ref, within); err != nil {
			return err
		}
		if a.State = v.stateOf(a); live(a.State) {
			why, err := v.outdated(tx, a)
			if why != "" && a.State != ApprovalDenied {
				a.State, a.Why = ApprovalExpired, why
			}
			return err
		}
		return nil
	})
	return a, err
}

func (v *Vault) approvalOf(tx store.Tx, ref string, within func(slug string) bool) (Approval, error) {
	missing := noApproval("nothing of that name waits for a person")
	if !id.Is(ref, id.Approval) {
		return Approval{}, missing
	}
	a, err := v.approvals.Get(tx, ref)
	if err == nil && !a.within(within) {
		return Approval{}, missing
	}
	return a, found(err, missing)
}

// Decision is a person's word on a request.
type Decision struct {
	Approve bool                   // else deny
	Why     string                 // one line; of a denial the agent is told it
	Within  func(slug string) bool // what the decider may see
}

// Decide approves what waits, or denies what waits or is approved and not spent. Presence is the door's business. Approving twice is approving once. Errors: not_permitted for who is no
// operator, invalid_argument, unknown_approval.
func (v *Vault) Decide(ctx context.Context, actor Actor, ref string, d Decision) (a Approval, err error) {
	if actor.Type != audit.Operator {
		return a, fault.New(fault.NotPermitted, "only a person approves or denies", "")
	}
	if err := checkWhy(d.Why); err != nil {
		return a, err
	}
	var refused error
	err = v.update(ctx, func(tx store.Tx) error {
		refused = nil
		if a, err = v.approvalOf(tx, ref, d.Within); err != nil {
			return err
		}
		if refused, err = v.undecidable(tx, a, d.Approve); refused != nil || err != nil {
			return err
		}
		if d.Approve && a.State == ApprovalApproved {
			return nil
		}
		now, decision := v.now(), "deny"
		a.State, a.DecidedAt, a.DecidedBy, a.Why, a.ExpiresAt = ApprovalDenied, now, actor.Name, d.Why, now.Add(ApprovalLife)
		if d.Approve {
			a.State, decision = ApprovalApproved, "approve"
		}
		e := a.event(actor, audit.ApprovalDecide, audit.Allowed)
		e.Detail["decision"] = decision
		return errors.Join(v.approvals.Put(tx, a.ID, a), v.audit.Append(tx, e))
	})
	if err = cmp.Or(err, refused); err != nil {
		if !id.Is(ref, id.Approval) {
			ref = ""
		}
		return Approval{}, v.deny(ctx, actor, audit.ApprovalDecide, ref, "", err)
	}
	return a, nil
}

// undecidable refuses a decision on what is over; a request that has just turned out to be is retired.
func (v *Vault) undecidable(tx store.Tx, a Approval, approve bool) (refused, err error) {
	switch s := v.stateOf(a); {
	case s == ApprovalSpent:
		return noApproval("the request is spent: " + a.Run + " ran"), nil
	case s == ApprovalDenied && a.EndedAt.IsZero():
		return noApproval("the request was denied"), nil
	case !live(s):
		return noApproval("the request has expired: the agent asks again"), nil
	}
	why, err := v.outdated(tx, a)
	if why != "" && approve && err == nil {
		return noApproval("what the request asks for is not the same any more (" + why + "): the agent asks again"), v.retire(tx, a, why)
	}
	return nil, err
}

// endApprovals retires requests that have lost what they are bound to.
func (v *Vault) endApprovals(tx store.Tx, agent string, which func(Approval) bool, why string) error {
	all, err := v.askedBy(tx, agent)
	for _, a := range all {
		if which(a) {
			err = errors.Join(err, v.retire(tx, a, why))
		}
	}
	return err
}

// endApprovalsOf retires the requests for a resource, and forgets the words on it.
func (v *Vault) endApprovalsOf(tx store.Tx, rid string) error {
	using := func(a Approval) bool {
		return slices.ContainsFunc(a.Uses, func(u ApprovalUse) bool { return u.Resource == rid })
	}
	return errors.Join(v.endApprovals(tx, "", using, "resource_removed"), v.forgetWords(tx, "", "/"+rid))
}

// forgetWords forgets the words whose keys begin and end so.
func (v *Vault) forgetWords(tx store.Tx, head, tail string) error {
	var keys []string
	err := v.words.Scan(tx, head, "", func(k string, _ word) (bool, error) {
		if len(k) >= len(tail) && k[len(k)-len(tail):] == tail {
			keys = append(keys, k)
		}
		return true, nil
	})
	for _, k := range keys {
		err = errors.Join(err, v.words.Delete(tx, k))
	}
	return err
}

// WithdrawApprovals takes back the words that no run has used yet. Who locks the vault (why is WithdrawnLocked) wants to be asked again; in a vault that was restored (WithdrawnRestored) a word may
// stand that was used since the backup.
func (v *Vault) WithdrawApprovals(ctx context.Context, why string) error {
	unused := func(a Approval) bool { return a.State == ApprovalApproved }
	any := false
	err := v.view(ctx, func(tx store.Tx) error {
		all, err := v.askedBy(tx, "")
		any = slices.ContainsFunc(all, unused)
		return err
	})
	if err != nil || !any {
		return err
	}
	return v.update(ctx, func(tx store.Tx) error { return v.endApprovals(tx, "", unused, why) })
}

// Why words are taken back, on record.
const (
	WithdrawnLocked   = "vault_locked"
	WithdrawnRestored = "vault_restored"
)
