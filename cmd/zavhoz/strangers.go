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

// examinePolicies looks for policies that name agents who do not exist.
func (a *app) examinePolicies(ctx context.Context, f *findings) {
	known, err := a.knownAgents(ctx)
	if err != nil {
		f.add("policies", "", err)
		return
	}
	all, err := a.resources(ctx, vault.Filter{})
	if err != nil {
		f.add("policies", "", err)
		return
	}
	var named []string
	for _, r := range all {
		for _, name := range strangers(r.Policy, known) {
			named = append(named, r.Handle+" ("+name+")")
		}
	}
	if len(named) == 0 {
		f.add("policies", "every agent that a policy names exists", nil)
		return
	}
	f.add("policies", "agents that do not exist are named by "+strings.Join(named, ", "), nil)
	c := &f.Checks[len(f.Checks)-1]
	c.Warning, c.Next = true, "make them (`zavhoz agent add`), or `zavhoz resource policy HANDLE --no-agent NAME`"
}
