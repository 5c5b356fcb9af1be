package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newLease(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "lease", Short: "Leases: what agents hold, and how to end it", Aliases: []string{"leases"}})
	c.AddCommand(newLeaseList(a), newLeaseEnd(a))
	return c
}

func newLeaseList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the leases that live", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz lease list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[vault.Lease]
			if err := cl.call(cmd.Context(), "GET", path("leases"), nil, &page); err != nil {
				return err
			}
			var agents api.Page[api.Agent]
			if err := cl.call(cmd.Context(), "GET", path("agents"), nil, &agents); err != nil {
				return err
			}
			names := map[string]string{}
			for _, g := range agents.Items {
				names[g.ID] = g.Name
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, l := range page.Items {
					rows = append(rows, []string{l.ID, dash(cmp.Or(names[l.Agent], l.Agent)), plain(l.Handle), l.Project, dash(portsHeld(l)), plain(l.Purpose), fmt.Sprint(l.Used), ago(l.CreatedAt)})
				}
				table(w, []string{"LEASE", "AGENT", "RESOURCE", "PROJECT", "PORTS", "PURPOSE", "USED", "MADE"}, rows)
			})
		},
	}
}

// portsHeld lists a lease's ports, those of services by name.
func portsHeld(l vault.Lease) string {
	var all []string
	for _, service := range slices.Sorted(maps.Keys(l.Services)) {
		all = append(all, fmt.Sprint(service, ":", l.Services[service]))
	}
	for _, port := range l.Ports {
		all = append(all, fmt.Sprint(port))
	}
	return strings.Join(all, " ")
}

func newLeaseEnd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "end LEASE", Short: "End an agent's lease: runs that use it end, and what it reserved is free", Args: cobra.ExactArgs(1), Aliases: []string{"revoke"}, ValidArgsFunction: completeOne(false, a.leaseIDs),
		Example: "  zavhoz lease end lse_xhbyq3k2xv7e5bnzq2m4c6d7fa",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out vault.Lease
			if err := cl.call(cmd.Context(), "DELETE", path("leases", args[0]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "Ended %s.\n", out.ID) })
		},
	}
}

func (a *app) leaseIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "leases", func(l vault.Lease) string { return l.ID })
}
