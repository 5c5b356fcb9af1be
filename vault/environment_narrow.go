package vault

import (
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/variable"
)

const whyGenerated = "generated for an environment"

// mayEnvironments refuses an agent whose grants do not cover environments of the project: names of secrets, and what can stand in for all of them, are no less than a
// resource is.
func (v *Vault) mayEnvironments(tx store.Tx, actor Actor, p Project) error {
	if actor.Type != audit.Agent {
		return nil
	}
	a, err := v.agentOf(tx, actor)
	if err == nil && !a.Grants.covers(Resource{Kind: kind.Environment, Project: p.Slug}) {
		err = fault.New(fault.NotPermitted, "the agent's grants do not cover environments", "ask the operator: an agent has its grants from `zavhoz agent add NAME --kinds …,environment`")
	}
	return err
}

// mayHave refuses an agent the environment that a person disabled, or keeps for other agents.
func (x *resolving) mayHave(tx store.Tx) error {
	r := x.out.Resource
	if x.actor.Type != audit.Agent || r.ID == "" {
		return nil
	}
	a, err := x.v.agentOf(tx, x.actor)
	switch {
	case err != nil:
		return err
	case !visible(r, a):
		return fault.New(fault.NotPermitted, "the policies of the project's environments name other agents", "ask the operator")
	case r.Status != Active:
		return x.v.usable(tx, r)
	}
	return nil
}

// mayGenerate bounds what agents have made in a project: each name takes room in its config for good.
func (x *resolving) mayGenerate(c ProjectConfig) error {
	n := 0
	for _, m := range c.Known {
		if m.Type == SecretInfra && m.Why == whyGenerated {
			n++
		}
	}
	fresh := 0
	for _, r := range x.out.Variables {
		if r.State == variable.Pending {
			fresh++
		}
	}
	if x.actor.Type != audit.Agent || fresh == 0 || n+fresh <= maxAgentGenerated {
		return nil
	}
	return fault.Newf(fault.ResourceExhausted, "the project would have %d generated secrets, and agents have at most %d made", n+fresh, maxAgentGenerated).
		WithNext("a person has them made: zavhoz project env resolve %s", x.out.Project.Slug)
}

// allowedTo gives the policy of a new environment: the strictest of those that the project has. Whoever may write a contract makes a new definition by a word of it, so
// what a person narrowed must hold for that too; and where a person disabled or removed one, or limits its uses, only a person makes another. The definition of an
// environment that was removed is kept as the mark of that, until a person makes an environment of the project again.
func (x *resolving) allowedTo(tx store.Tx) (policy.Policy, error) {
	v, p := x.v, x.out.Project
	var gone []string
	var all []policy.Policy
	off := false
	err := v.environments.Scan(tx, p.ID+"/", "", func(key string, e Environment) (bool, error) {
		r, err := v.resources.Get(tx, e.Resource)
		if errors.Is(err, store.ErrNotFound) {
			gone = append(gone, key)
			return true, nil
		}
		off = off || r.Status != Active
		all = append(all, r.Policy)
		return true, err
	})
	if err != nil {
		return policy.Policy{}, err
	}
	limit := MaxEnvironments
	if x.actor.Type == audit.Agent {
		limit = maxAgentEnvironments
	}
	person := x.q.Confirmed && x.actor.Type == audit.Operator && x.actor.ID == ""
	strict, ok := policy.Strictest(all...)
	switch {
	case len(all) >= limit:
		return strict, fault.Newf(fault.ResourceExhausted, "the project has %d environments, which is the limit", len(all)).WithNext("the operator removes some: zavhoz resource list --kind environment; zavhoz resource rm HANDLE")
	case person && !ok: // they are there, and say what it may be used for
		strict = policy.Policy{Approval: policy.ApprovalAlways}
	case !person && (off || len(gone) > 0):
		return strict, byAPerson(p, "a person disabled or removed an environment of the project, so another is made by a person alone")
	case !person && !ok:
		return strict, byAPerson(p, "what the project's environments are allowed cannot hold for one more of them, so it is made by a person alone")
	}
	for _, key := range gone {
		err = errors.Join(err, v.environments.Delete(tx, key))
	}
	if err != nil || len(all) == 0 || !x.asked() || strict.Approval != "" {
		return strict, err
	}
	changed, err := x.changed(tx)
	if changed {
		strict.Approval = policy.ApprovalFirst
	}
	return strict, err
}

// asked tells whether a person's word is asked for before agents run with what is resolved here. An agent's repository has the contract, and a program at the socket may
// be an agent's; a token that writes the project's secrets decides what they are used for anyhow.
func (x *resolving) asked() bool {
	return x.actor.Type == audit.Agent || x.actor.Type == audit.Operator && x.actor.ID == "" && !x.q.Confirmed
}

// changed tells whether a definition differs from those that the project's agents may run with already. A contract does by any word of it. A list of names has no words: it
// does where it releases a secret that none of those releases.
func (x *resolving) changed(tx store.Tx) (bool, error) {
	if x.def.Contract != nil {
		return true, nil
	}
	v, p := x.v, x.out.Project
	c, err := v.configOf(tx, p)
	if err != nil {
		return false, err
	}
	f, err := v.factsOf(tx, OperatorActor(), p, c, x.def)
	if err != nil {
		return false, err
	}
	before := map[string]bool{}
	err = v.environments.Scan(tx, p.ID+"/", "", func(_ string, e Environment) (bool, error) {
		r, err := v.resources.Get(tx, e.Resource)
		if err == nil && r.Policy.Approval != policy.ApprovalFirst {
			releases(variable.Plan(e.definition(), f), before)
		}
		return true, ignoreNotFound(err)
	})
	after := map[string]bool{}
	releases(x.out.Variables, after)
	for what := range after {
		if !before[what] {
			return true, err
		}
	}
	return false, err
}

// releases marks what of the project's secrets a plan puts into which variable.
func releases(all []variable.Resolved, to map[string]bool) {
	for _, r := range all {
		if r.Hidden {
			continue
		}
		if r.State == variable.Missing { // it will be there one day
			to[r.Name+"="+r.Name] = true
		}
		for _, part := range r.Parts {
			if part.Secret != "" {
				to[r.Name+"="+part.Secret] = true
			}
		}
	}
}

func byAPerson(p Project, why string) *fault.Error {
	return fault.New(fault.ResourceDisabled, why, "ask the operator: zavhoz project env resolve "+p.Slug+", or zavhoz resource edit HANDLE --status active")
}
