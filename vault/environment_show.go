package vault

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// maxShown is how many bytes of a text a description of an environment has at most.
const maxShown = 400

func (e Environment) definition() variable.Definition {
	return variable.Definition{Contract: e.Contract, Environment: e.Environment, Names: e.Names, Supplied: e.Supplied}
}

// DescribeEnvironment tells, one variable a line, how the values of an environment are put together: who pins a command to it sees every text that an agent, or a
// repository, wrote, and where each secret goes. Secrets stand there by name. It is empty for a resource of another kind.
func (v *Vault) DescribeEnvironment(ctx context.Context, r Resource) (lines []string, err error) {
	if r.Kind != kind.Environment {
		return nil, nil
	}
	err = v.view(ctx, func(tx store.Tx) error {
		p, err := v.byProject(tx, r.Project)
		if err != nil {
			return err
		}
		e, err := v.environments.Get(tx, environmentKey(p.ID, r.Attrs[kind.EnvironmentDefinition]))
		if errors.Is(err, store.ErrNotFound) {
			lines = []string{noDefinition(r).Error()}
			return nil
		}
		if err != nil {
			return err
		}
		all, err := v.planOf(tx, p, e)
		lines = nil
		for _, x := range all {
			if !x.Hidden {
				lines = append(lines, x.Name+" "+saidOf(x))
			}
		}
		return err
	})
	return lines, err
}

// ExplainEnvironment resolves an environment that is there, as a person sees it now: which rule decided of each variable, how its value is made, what is missing. It makes and
// keeps nothing. Errors: unknown_resource, invalid_argument (another kind), resource_disabled (the definition is lost), unknown_project.
func (v *Vault) ExplainEnvironment(ctx context.Context, actor Actor, ref string) (out ResolvedEnvironment, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		r, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if r.Kind != kind.Environment {
			return fault.New(fault.InvalidArgument, r.Handle+" is no environment", "`zavhoz resource list --kind environment` shows those that there are")
		}
		p, err := v.projectFor(tx, actor, r.Project, ScopeRead)
		if err != nil {
			return err
		}
		e, err := v.environments.Get(tx, environmentKey(p.ID, r.Attrs[kind.EnvironmentDefinition]))
		if err != nil {
			return found(err, noDefinition(r))
		}
		out = ResolvedEnvironment{Project: p, Resource: r}
		if out.Variables, err = v.planOf(tx, p, e); err != nil {
			return err
		}
		out.Outcome = variable.OutcomeOf(out.Variables)
		return nil
	})
	return out, err
}

// planOf resolves a definition as a person sees it.
func (v *Vault) planOf(tx store.Tx, p Project, e Environment) ([]variable.Resolved, error) {
	c, err := v.configOf(tx, p)
	if err != nil {
		return nil, err
	}
	f, err := v.factsOf(tx, OperatorActor(), p, c, e.definition())
	if err != nil {
		return nil, err
	}
	return variable.Plan(e.definition(), f), nil
}

func saidOf(r variable.Resolved) string {
	if !r.Ready() && r.State != variable.Pending {
		return "is " + string(r.State)
	}
	if len(r.Parts) == 1 && r.Parts[0].Secret == r.Name && r.Parts[0].As == "" {
		return "is the project's secret of that name"
	}
	var b strings.Builder
	for _, part := range r.Parts {
		switch {
		case part.Secret == "":
			b.WriteString(strings.ReplaceAll(part.Text, "$", "$$"))
		case part.As == "":
			b.WriteString("${" + part.Secret + "}")
		default:
			b.WriteString("${" + part.Secret + ":" + part.As + "}")
		}
	}
	text, more := b.String(), ""
	if len(text) > maxShown {
		text, more = text[:maxShown], " and "+strconv.Itoa(len(text)-maxShown)+" bytes more"
	}
	return "= " + strconv.QuoteToASCII(text) + more
}

// AwaitedSecrets gives the names that a person is asked for in a project and that lead no other value anywhere: they have no value, are hinted or missing in an
// environment, are a person's by their name, and nothing else is made of them. Errors: unknown_project, not_permitted.
func (v *Vault) AwaitedSecrets(ctx context.Context, actor Actor, ref string) (out []string, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		p, err := v.projectFor(tx, actor, ref, ScopeRead)
		if err != nil {
			return err
		}
		c, err := v.configOf(tx, p)
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, s := range c.list() {
			names[s.Name] = !s.Filled
		}
		referred := map[string]bool{}
		err = v.environments.Scan(tx, p.ID+"/", "", func(_ string, e Environment) (bool, error) {
			all, err := v.planOf(tx, p, e)
			for _, r := range all {
				names[r.Name] = names[r.Name] || r.State == variable.Missing
			}
			e.refers(referred)
			return true, err
		})
		out = nil
		for name, asked := range names {
			if asked && !referred[name] && variable.Classify(name).Class == variable.User {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return err
	})
	return out, err
}

// refers marks the variables that others of the definition are made of.
func (e Environment) refers(to map[string]bool) {
	if e.Contract == nil {
		return
	}
	for _, x := range e.Contract.Entries {
		pieces, err := contract.ParseTemplate(x.Template)
		if err != nil {
			continue
		}
		for _, piece := range pieces {
			to[piece.Ref] = true
		}
	}
}
