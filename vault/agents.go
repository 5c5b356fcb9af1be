package vault

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// putAgent stores an agent with its name and, where it has one, its token's hash as ways to it.
func (v *Vault) putAgent(tx store.Tx, a Agent) error {
	if _, err := v.agentNames.Get(tx, a.Name); !errors.Is(err, store.ErrNotFound) {
		if err == nil {
			err = fault.New(fault.NameTaken, "there is an agent named "+a.Name, "remove it with `zavhoz agent rm "+a.Name+"`, or choose another name")
		}
		return err
	}
	if a.TokenHash != "" {
		if err := v.tokens.Put(tx, a.TokenHash, link{a.ID}); err != nil {
			return err
		}
	}
	return errors.Join(v.agentNames.Put(tx, a.Name, link{a.ID}), v.agents.Put(tx, a.ID, a))
}

// AddAgent makes an agent and its token. The token is returned once and kept as a hash only. Its grants name kinds and projects that exist: unknown_kind,
// unknown_project.
func (v *Vault) AddAgent(ctx context.Context, actor Actor, n NewAgent) (a Agent, token string, err error) {
	if err := CheckHandle(n.Name); err != nil {
		return a, "", fault.New(fault.InvalidArgument, "an agent's name has the shape of a handle", "use lower-case letters, digits, `_`, `-` or `.`")
	}
	if n.Rate.PerMinute < 0 || n.Rate.Concurrent < 0 {
		return a, "", fault.New(fault.InvalidArgument, "a rate is a positive number, or 0 for the default", "")
	}
	tk := id.AgentToken
	switch n.Role {
	case RoleOperator:
		tk = id.OperatorToken
	case RoleAgent, "":
		n.Role = RoleAgent
	default:
		return a, "", fault.New(fault.InvalidArgument, "a role is agent or operator", "")
	}
	if n.Scopes, err = scopesOf(n); err != nil {
		return a, "", err
	}
	if len(n.Grants.Projects) == 0 {
		n.Grants.Projects = []string{DefaultProject}
		if n.Role == RoleOperator { // its owner makes projects
			n.Grants.Projects = []string{"*"}
		}
	}
	if len(n.Grants.Kinds) == 0 {
		n.Grants.Kinds = []string{"*"}
	}
	for _, k := range n.Grants.Kinds {
		if _, err := kind.Get(k); err != nil && k != "*" {
			return a, "", err
		}
	}
	token = id.NewToken(tk)
	a = Agent{
		Format: 1, ID: id.New(id.Agent), Name: n.Name, Role: n.Role, TokenHash: id.HashToken(token), Grants: n.Grants, Rate: n.Rate, Scopes: n.Scopes,
		Attended: n.Attended, CreatedAt: v.now(),
	}
	err = v.update(ctx, func(tx store.Tx) error {
		for _, p := range a.Grants.Projects { // a name given ahead would open whatever project gets it later
			if err := v.projectExists(tx, p); err != nil && p != "*" {
				return err
			}
		}
		if err := v.putAgent(tx, a); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.AgentAdd, Outcome: audit.Allowed, Subject: a.ID, Handle: a.Name, Detail: map[string]string{"role": string(a.Role)}})
	})
	if err != nil {
		return Agent{}, "", err
	}
	return a, token, nil
}

// scopesOf checks what a token may do over HTTP, and puts in what goes without saying.
func scopesOf(n NewAgent) ([]Scope, error) {
	all := []Scope{ScopeRead, ScopeWrite, ScopeAdmin}
	for _, s := range n.Scopes {
		if n.Role != RoleOperator || !slices.Contains(all, s) {
			return nil, fault.New(fault.InvalidArgument, "scopes are read, write and admin, of an operator's token", "add the agent with --role operator")
		}
	}
	if n.Role == RoleOperator && len(n.Scopes) == 0 {
		return []Scope{ScopeRead, ScopeWrite}, nil
	}
	sorted := slices.Clone(n.Scopes)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}

// Allows tells whether an operator's token has a scope.
func (a Agent) Allows(s Scope) bool { return a.Role == RoleOperator && slices.Contains(a.Scopes, s) }

func (a Agent) allows(s Scope) error {
	if a.Allows(s) {
		return nil
	}
	return fault.New(fault.NotPermitted, "the token has not the scope "+string(s), "a person makes one that has it: `zavhoz agent add NAME --role operator --scope "+string(s)+"`")
}

// RemoveAgent removes an agent: its token opens nothing from then on, and its leases end.
func (v *Vault) RemoveAgent(ctx context.Context, actor Actor, name string) (a Agent, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if a, err = v.agentByName(tx, name); err != nil {
			return err
		}
		if a.TokenHash != "" {
			if err := v.tokens.Delete(tx, a.TokenHash); err != nil {
				return err
			}
		}
		if err := v.endLeases(tx, func(l Lease) bool { return l.Agent == a.ID }, "agent_removed"); err != nil {
			return err
		}
		if err := errors.Join(v.dropIntakes(tx, func(i Intake) bool { return i.Agent == a.ID }), v.endApprovals(tx, a.ID, func(Approval) bool { return true }, "agent_removed"), v.forgetWords(tx, a.ID+"/", "")); err != nil {
			return err
		}
		if err := errors.Join(v.agentNames.Delete(tx, a.Name), v.agents.Delete(tx, a.ID)); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.AgentRemove, Outcome: audit.Allowed, Subject: a.ID, Handle: a.Name})
	})
	return a, err
}

// ListAgents gives every agent in order of name.
func (v *Vault) ListAgents(ctx context.Context) (out []Agent, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.agentNames.Scan(tx, "", "", func(_ string, l link) (bool, error) {
			a, err := v.agents.Get(tx, l.ID)
			out = append(out, a)
			return true, err
		})
	})
	return out, err
}

func (v *Vault) agentByName(tx store.Tx, name string) (Agent, error) {
	missing := fault.New(fault.UnknownAgent, "there is no such agent", "`zavhoz agent list` shows them")
	if len(name) == 0 || len(name) > 64 {
		return Agent{}, missing
	}
	l, err := v.agentNames.Get(tx, name)
	if err != nil {
		return Agent{}, found(err, missing)
	}
	a, err := v.agents.Get(tx, l.ID)
	return a, found(err, missing)
}

// Authenticate finds the agent of a token. The one error, unauthenticated, does not tell a malformed token from an unknown one.
func (v *Vault) Authenticate(ctx context.Context, token string) (a Agent, err error) {
	refused := fault.New(fault.Unauthenticated, "the token is not valid", "ask the operator for one: `zavhoz agent add NAME`")
	if _, err := id.CheckToken(token); err != nil {
		return a, refused
	}
	hash := id.HashToken(token)
	err = v.view(ctx, func(tx store.Tx) error {
		l, err := v.tokens.Get(tx, hash)
		if err != nil {
			return found(err, refused)
		}
		a, err = v.agents.Get(tx, l.ID)
		if err == nil && subtle.ConstantTimeCompare([]byte(a.TokenHash), []byte(hash)) != 1 {
			err = refused
		}
		return found(err, refused)
	})
	if err != nil {
		if fault.CodeOf(err) == fault.Unauthenticated { // of our shape, and nobody's: a removed agent's, or a guess
			err = v.deny(ctx, Actor{Type: audit.Agent, Name: "unknown"}, audit.AgentLogin, "", "", err)
		}
		return Agent{}, err
	}
	return a, nil
}

// Local gives the agent `local`, which comes by the agent socket without a token; unknown_agent where the operator removed it.
func (v *Vault) Local(ctx context.Context) (a Agent, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		a, err = v.agentByName(tx, LocalAgent)
		return err
	})
	return a, err
}

// agentOf gives the agent who acts. An agent removed meanwhile is unauthenticated.
func (v *Vault) agentOf(tx store.Tx, actor Actor) (Agent, error) {
	if actor.Type != audit.Agent {
		return Agent{}, fault.New(fault.NotPermitted, "only an agent may do this", "")
	}
	a, err := v.agents.Get(tx, actor.ID)
	return a, found(err, fault.New(fault.Unauthenticated, "the agent was removed", "ask the operator for another token"))
}

// covers tells whether the grants reach r.
func (g Grants) covers(r Resource) bool {
	has := func(list []string, s string) bool { return slices.Contains(list, "*") || slices.Contains(list, s) }
	if !has(g.Projects, r.Project) || !has(g.Kinds, r.Kind) {
		return false
	}
	return len(g.Labels) == 0 || slices.ContainsFunc(g.Labels, func(l string) bool { return hasLabel(r.Labels, l) })
}

// coversKind tells whether the grants could reach a resource of a project and a kind, if it had the label for it.
func (g Grants) coversKind(project, kind string) bool {
	r := Resource{Project: project, Kind: kind}
	g.Labels = nil
	return g.covers(r)
}

// hasLabel matches "key" or "key=value".
func hasLabel(labels map[string]string, want string) bool {
	k, val, exact := strings.Cut(want, "=")
	have, ok := labels[k]
	return ok && (!exact || have == val)
}

// named tells whether the policy names the agent; unrestricted policies name nobody.
func named(r Resource, a Agent) bool { return slices.Contains(r.Policy.Agents, a.Name) }

// visible tells whether a may know of r at all: its grants cover it and the policy, where it names agents, names it. A policy that names
// an agent is a grant of its own.
func visible(r Resource, a Agent) bool {
	if len(r.Policy.Agents) > 0 {
		return named(r, a)
	}
	return a.Grants.covers(r)
}

// standInOnly tells whether a may use r only by deliveries that never hand over the value: `local`, whom no token proves, unless the
// operator named it in the policy.
func standInOnly(r Resource, a Agent) bool { return a.Name == LocalAgent && !named(r, a) }
