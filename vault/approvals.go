package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The collections of requests.
const (
	cApprovals store.Collection = "approvals"      // apr_…
	cAsked     store.Collection = "live_approvals" // agt_…/digest → apr_…, while it waits, is approved, or was denied a while ago
	cWords     store.Collection = "approval_words" // agt_…/res_…
)

// approved gives an agent's run the word that it needs, spent in the transaction that records the run: one word, one run. Where there is none the request is kept in
// that same transaction, and refused says so; err undoes both.
func (v *Vault) approved(tx store.Tx, actor Actor, run *Run, uses []Use) (refused, err error) {
	i := slices.IndexFunc(uses, func(u Use) bool { return u.Asks != "" })
	if i < 0 {
		return nil, nil
	}
	if run.Proposal == nil { // somebody has just said that a person is to be asked
		return fault.New(fault.ApprovalRequired, "a person approves the use of "+uses[i].Resource.Handle+", since just now", "make the same call again: then it is asked for"), nil
	}
	fresh := v.request(actor, *run, uses)
	l, err := v.asked.Get(tx, askedKey(fresh))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return v.ask(tx, fresh)
	case err != nil:
		return nil, err
	}
	a, err := v.approvals.Get(tx, l.ID)
	if err != nil {
		return nil, found(err, fault.New(fault.VaultCorrupt, "a request for approval is lost", "restore from a backup"))
	}
	switch v.stateOf(a) {
	case ApprovalWaiting:
		return waits(a), nil
	case ApprovalDenied:
		return turnedDown(a), nil
	case ApprovalApproved:
		return nil, v.spendWord(tx, a, run)
	}
	if err := v.retire(tx, a, ""); err != nil {
		return nil, err
	}
	return v.ask(tx, fresh)
}

// request is what a call of the actor's would have a person approve, bound to all that decides what it does: the agent, the call to the byte, how and at which level each
// resource is delivered, its version, policy and lease.
func (v *Vault) request(actor Actor, run Run, uses []Use) Approval {
	now := v.now()
	a := Approval{
		Format: 1, Actor: actor, Call: run.Proposal.Shown, Isolation: run.Isolation, State: ApprovalWaiting, CreatedAt: now, ExpiresAt: now.Add(ApprovalLife), Uses: make([]ApprovalUse, len(uses)),
	}
	for i, u := range uses {
		r := u.Resource
		a.Uses[i] = ApprovalUse{Resource: r.ID, Handle: r.Handle, Kind: r.Kind, Project: r.Project, Version: r.Version, Policy: policyDigest(r.Policy), Lease: u.Lease.ID, Delivery: run.Delivered[r.Handle], Asks: u.Asks}
	}
	bound, _ := json.Marshal(struct { // strings and numbers: it cannot fail
		Agent, Context, Isolation string
		Background                bool
		Uses                      []ApprovalUse
	}{actor.ID, actor.Context, run.Isolation, run.Background, a.Uses})
	sum := v.k.MAC("approval", bound, run.Proposal.Call)
	a.Digest = hex.EncodeToString(sum[:])
	return a
}

func policyDigest(p policy.Policy) string {
	text, _ := json.Marshal(p)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func askedKey(a Approval) string { return a.Actor.ID + "/" + a.Digest }

// stateOf is the state at this moment.
func (v *Vault) stateOf(a Approval) ApprovalState {
	if live(a.State) && !v.now().Before(a.ExpiresAt) {
		return ApprovalExpired
	}
	return a.State
}

// live tells whether time ends a state.
func live(s ApprovalState) bool {
	return s == ApprovalWaiting || s == ApprovalApproved || s == ApprovalDenied
}

// ask keeps a new request, if the agent has not too many.
func (v *Vault) ask(tx store.Tx, a Approval) (refused, err error) {
	mine, err := v.askedBy(tx, a.Actor.ID)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, x := range mine {
		why, err := v.outdated(tx, x)
		if err != nil {
			return nil, err
		}
		if why == "" && v.stateOf(x) != ApprovalExpired {
			n++
		} else if err := v.retire(tx, x, why); err != nil {
			return nil, err
		}
	}
	if n >= MaxApprovals {
		return fault.Newf(fault.RateLimited, "%d calls of yours wait for a person, or were just denied", n).WithNext("get_status lists them: wait for the person's word, or until they expire"), nil
	}
	a.ID = id.New(id.Approval)
	err = errors.Join(v.approvals.Put(tx, a.ID, a), v.asked.Put(tx, askedKey(a), link{a.ID}), v.audit.Append(tx, a.event(a.Actor, audit.ApprovalAsk, audit.Allowed)))
	return waits(a).Because(errJustAsked), err
}

// errJustAsked is in the refusal of a call that made a request, and not in those of the same call while it waits.
var errJustAsked = errors.New("vault: a person has just been asked to approve this")

// JustAsked gives the request that the refused call made; "" where it made none. Whoever tells a person of it does so once.
func JustAsked(err error) (ref string) {
	if errors.Is(err, errJustAsked) {
		ref, _ = fault.Of(err).Details["approval_id"].(string)
	}
	return ref
}

// event is a request's record; of what was asked it has the resources alone.
func (a Approval) event(who Actor, action audit.Action, outcome audit.Outcome) audit.Event {
	return audit.Event{Actor: who, Action: action, Outcome: outcome, Subject: a.ID, Handle: clip(joinNames(a.handles()), 200), Detail: map[string]string{"agent": a.Actor.Name}}
}

func (a Approval) handles() []string {
	names := make([]string, len(a.Uses))
	for i, u := range a.Uses {
		names[i] = u.Handle
	}
	return names
}

// askedBy gives an agent's requests that time has to end; "" means everybody's.
func (v *Vault) askedBy(tx store.Tx, agent string) (out []Approval, err error) {
	if agent != "" {
		agent += "/"
	}
	err = v.asked.Scan(tx, agent, "", func(_ string, l link) (bool, error) {
		a, err := v.approvals.Get(tx, l.ID)
		out = append(out, a)
		return true, found(err, fault.New(fault.VaultCorrupt, "a request for approval is lost", "restore from a backup"))
	})
	return out, err
}

// outdated says why a request can come to nothing any more: what it is bound to is not there, or is another. "": it can.
func (v *Vault) outdated(tx store.Tx, a Approval) (why string, err error) {
	if _, err := v.agents.Get(tx, a.Actor.ID); err != nil {
		return "agent_removed", ignoreNotFound(err)
	}
	for _, u := range a.Uses {
		r, err := v.resources.Get(tx, u.Resource)
		if err != nil || r.Status != Active || r.Version != u.Version || policyDigest(r.Policy) != u.Policy {
			return "resource_changed", ignoreNotFound(err)
		}
		if u.Lease == "" {
			continue
		}
		if l, err := v.leases.Get(tx, u.Lease); err != nil || v.leaseLives(l) != nil {
			return "lease_ended", ignoreNotFound(err)
		}
	}
	return "", nil
}

// retire ends a request that nobody needs any more. What was denied stays so. Of one that nobody decided on, what was shown goes: an agent that takes lease after lease would fill the vault by it.
func (v *Vault) retire(tx store.Tx, a Approval, why string) error {
	if a.DecidedAt.IsZero() {
		a.Call = ApprovalCall{Sort: a.Call.Sort}
	}
	if a.EndedAt = v.now(); a.State != ApprovalDenied {
		a.State = ApprovalExpired
		if why != "" {
			a.Why = why
		}
	}
	return errors.Join(v.approvals.Put(tx, a.ID, a), v.asked.Delete(tx, askedKey(a)))
}

// spendWord marks a word as used by the run, and keeps what it says of further ones.
func (v *Vault) spendWord(tx store.Tx, a Approval, run *Run) error {
	a.State, a.EndedAt, a.Run = ApprovalSpent, v.now(), run.ID
	run.Approval = a.ID
	e := a.event(a.Actor, audit.ApprovalSpend, audit.Allowed)
	e.Detail["run"] = run.ID
	err := errors.Join(v.approvals.Put(tx, a.ID, a), v.asked.Delete(tx, askedKey(a)), v.audit.Append(tx, e))
	for _, u := range a.Uses {
		if u.Asks == policy.ApprovalFirst {
			err = errors.Join(err, v.words.Put(tx, wordKey(a.Actor.ID, u.Resource), word{Format: 1, Approval: a.ID, Version: u.Version, Policy: u.Policy, At: v.now()}))
		}
	}
	return err
}

func wordKey(agent, resource string) string { return agent + "/" + resource }

// asks tells what an agent's run with r asks a person: as the policy says, but nothing where a person has approved this agent's first run with it, as it is now.
func (v *Vault) asks(tx store.Tx, a Agent, r Resource) (string, error) {
	if r.Policy.Approval != policy.ApprovalFirst {
		return r.Policy.Approval, nil
	}
	w, err := v.words.Get(tx, wordKey(a.ID, r.ID))
	if err == nil && w.Version == r.Version && w.Policy == policyDigest(r.Policy) {
		return "", nil
	}
	return r.Policy.Approval, ignoreNotFound(err)
}

// waits is the refusal of a call that a person has not decided on. It says nothing of what they are shown: that a part of it is masked would tell a guess right.
func waits(a Approval) *fault.Error {
	return fault.New(fault.ApprovalRequired, "a person approves this call first: it waits as "+a.ID,
		"ask the operator to look at it and type `zavhoz approve "+a.ID+"`; then make exactly the same call again (get_status tells its state)").
		With("approval_id", a.ID).With("state", string(ApprovalWaiting)).With("expires_at", a.ExpiresAt.Format(timeForm))
}

// turnedDown is the refusal of a call that a person denied. Their words are a detail, for who runs calls to mask.
func turnedDown(a Approval) error {
	f := fault.New(fault.ApprovalDenied, "the operator denied this call ("+a.ID+")", "do not repeat it: ask the operator what they would have, or do it another way").
		With("approval_id", a.ID).With("state", string(ApprovalDenied)).With("expires_at", a.ExpiresAt.Format(timeForm))
	if a.Why != "" {
		f = f.With("why", a.Why)
	}
	return f
}

// timeForm is how refusals tell a time: RFC 3339 in UTC, by the second.
const timeForm = "2006-01-02T15:04:05Z"
