package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// completeFor is how long completion may wait for the daemon.
const completeFor = 2 * time.Second

// completeHandles completes handles of resources.
func (a *app) completeHandles(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 && cmd.Name() != "run" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeFor)
	defer cancel()
	all, err := a.resources(ctx, vault.Filter{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, r := range all {
		out = append(out, cobra.CompletionWithDesc(r.Handle, r.Kind))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeKinds completes kinds as the first argument or as a flag.
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
