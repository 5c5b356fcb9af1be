package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/web/api"
)

// completeFor is how long completion may wait for the daemon.
const completeFor = 2 * time.Second

// completer is what cobra asks.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeOne completes the first argument with what list gives; where the command takes many, each of them with what is not there yet.
func completeOne(many bool, list func(context.Context) ([]string, error)) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeFor)
		defer cancel()
		found, err := list(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found = slices.DeleteFunc(found, func(s string) bool { return slices.Contains(args, firstField(s)) })
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// firstField is what is completed, without its description.
func firstField(s string) string {
	for i := range len(s) {
		if s[i] == '\t' {
			return s[:i]
		}
	}
	return s
}

// handles lists the resources, by handle.
func (a *app) handles(ctx context.Context) ([]string, error) {
	all, err := a.resources(ctx, vault.Filter{})
	var out []string
	for _, r := range all {
		out = append(out, cobra.CompletionWithDesc(r.Handle, r.Kind))
	}
	return out, err
}

// projectSlugs lists the projects.
func (a *app) projectSlugs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "projects", func(p vault.Project) string { return cobra.CompletionWithDesc(p.Slug, p.Title) })
}

// agentNames lists the agents.
func (a *app) agentNames(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "agents", func(g api.Agent) string { return cobra.CompletionWithDesc(g.Name, g.Role) })
}

// serverNames lists the provider's servers, by handle where they have one.
func (a *app) serverNames(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "servers", func(s api.Server) string {
		if s.Handle != "" {
			return cobra.CompletionWithDesc(s.Handle, s.ID)
		}
		return cobra.CompletionWithDesc(s.ID, s.Provider+":"+s.ProviderID)
	})
}

func listed[T any](ctx context.Context, a *app, noun string, name func(T) string) ([]string, error) {
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	var page api.Page[T]
	err = cl.call(ctx, "GET", path(noun), nil, &page)
	var out []string
	for _, x := range page.Items {
		out = append(out, name(x))
	}
	return out, err
}

// completeKinds completes kinds, as the first argument or as a flag.
func completeKinds(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, k := range kind.All() {
		out = append(out, cobra.CompletionWithDesc(k.Name, k.Summary))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeFlag completes a flag's value with what list gives.
func completeFlag(c *cobra.Command, flag string, list func(context.Context) ([]string, error)) {
	_ = c.RegisterFlagCompletionFunc(flag, completeOne(true, list))
}
