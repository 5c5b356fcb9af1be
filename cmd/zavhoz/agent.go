package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newAgent(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "agent", Short: "Agents: who may come in, with which token", Aliases: []string{"agents"}})
	c.AddCommand(newAgentAdd(a), newAgentList(a), newAgentRemove(a))
	return c
}

func newAgentAdd(a *app) *cobra.Command {
	var in api.NewAgent
	c := &cobra.Command{
		Use: "add NAME", Short: "Make an agent and print its token, once", Args: cobra.ExactArgs(1),
		Long: `Make an agent and print its token. The token is printed once and kept as a hash only. By default the agent may use every kind of resource of
the project "default".

With --role operator the token is for the API over HTTP (docs/rest.md): of all projects, with the scopes read and write, unless --projects and --scope say otherwise.`,
		Example: `  zavhoz agent add ci --projects web --kinds server
  zavhoz agent add deploy-api --role operator --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			cl, err := a.client()
			if err != nil {
				return err
			}
			var ag api.Agent
			if err := cl.call(cmd.Context(), "POST", path("agents"), in, &ag); err != nil {
				return err
			}
			a.hint("This is the only time the token of %s is shown:", ag.Name)
			return a.show(ag, func(w io.Writer) { fmt.Fprintln(w, ag.Token) })
		},
	}
	c.Flags().StringVar(&in.Role, "role", "agent", "agent (MCP) or operator (the API)")
	c.Flags().StringSliceVar(&in.Projects, "projects", nil, `projects it may use ("*" for all; default: default)`)
	c.Flags().StringSliceVar(&in.Kinds, "kinds", nil, `kinds it may use (default "*")`)
	c.Flags().StringSliceVar(&in.Labels, "labels", nil, "only resources with one of these labels, key=value")
	c.Flags().StringSliceVar(&in.Scopes, "scope", nil, "of an operator's token: read, write, admin (default: read and write)")
	c.Flags().IntVar(&in.PerMinute, "per-minute", 0, "calls a minute (default 600)")
	c.Flags().BoolVar(&in.Attended, "attended", false, "a person sits at it: its client may tell them of calls that wait for their word")
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"agent", "operator"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions([]string{"read", "write", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func newAgentList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List agents", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz agent list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.Agent]
			if err := cl.call(cmd.Context(), "GET", path("agents"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, g := range page.Items {
					rows = append(rows, []string{g.Name, g.Role, strings.Join(g.Projects, ","), strings.Join(g.Kinds, ","), dash(strings.Join(g.Labels, ",")), ago(g.CreatedAt)})
				}
				table(w, []string{"NAME", "ROLE", "PROJECTS", "KINDS", "LABELS", "MADE"}, rows)
			})
		},
	}
}

func newAgentRemove(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "rm NAME", ValidArgsFunction: completeOne(false, a.agentNames), Short: "Remove an agent: its token opens nothing from then on", Args: cobra.ExactArgs(1), Aliases: []string{"remove"},
		Example: "  zavhoz agent rm ci --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.agreed(cmd.Context(), sure, "Remove the agent "+plain(args[0])+" and end its leases?"); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			var ag api.Agent
			if err := cl.call(cmd.Context(), "DELETE", path("agents", args[0]), nil, &ag); err != nil {
				return err
			}
			return a.show(ag, func(w io.Writer) { fmt.Fprintf(w, "Removed %s; its leases ended.\n", ag.Name) })
		},
	}
	sure.register(c)
	return c
}
