package main

import (
	"context"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// strangers gives the agents that a policy names and that do not exist. Such a name opens the resource to whoever gets it later, and a typing error opens it to
// nobody.
func strangers(p policy.Policy, known []string) []string {
	return slices.DeleteFunc(slices.Clone(p.Agents), func(name string) bool { return slices.Contains(known, name) })
}

// knownAgents lists the agents by name.
func (a *app) knownAgents(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "agents", func(g api.Agent) string { return g.Name })
}

// warnStrangers remarks on the agents that a policy names and that do not exist. What was done stands, so a failure here is none.
func (a *app) warnStrangers(ctx context.Context, r api.Resource) {
	known, err := a.knownAgents(ctx)
	if names := strangers(r.Policy, known); err == nil && len(names) > 0 {
		a.hint("zavhoz: the policy of %s names %s, and there is no such agent: make it (zavhoz agent add), or take the name away (--no-agent)", r.Handle, plain(strings.Join(names, ", ")))
	}
}

// examinePolicies looks for policies and working directories that name agents who do not exist.
func (a *app) examinePolicies(ctx context.Context, f *findings) {
	named, err := a.namingStrangers(ctx)
	if err != nil || len(named) == 0 {
		f.add("policies", "every agent that a policy or a working directory names exists", err)
		return
	}
	f.add("policies", "agents that do not exist are named by "+strings.Join(named, ", "), nil)
	c := &f.Checks[len(f.Checks)-1]
	c.Warning, c.Next = true, "make them (`zavhoz agent add`), or `zavhoz resource policy HANDLE --no-agent NAME`"
}

// namingStrangers lists what names agents who do not exist, each with the name.
func (a *app) namingStrangers(ctx context.Context) (out []string, err error) {
	known, err := a.knownAgents(ctx)
	if err != nil {
		return nil, err
	}
	add := func(what string, p policy.Policy) {
		for _, name := range strangers(p, known) {
			out = append(out, what+" ("+name+")")
		}
	}
	all, err := a.resources(ctx, vault.Filter{})
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		add(r.Handle, r.Policy)
	}
	ws, err := a.workdirs(ctx)
	for _, w := range ws {
		add(w.Path, policy.Policy{Agents: w.Agents})
	}
	return out, err
}
