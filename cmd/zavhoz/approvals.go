package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newApprovals(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "approvals", Short: "List what waits for your word, and what to type for each", Args: cobra.NoArgs, Example: "  zavhoz approvals",
		Long: `List what waits for a person's word: secrets that projects lack, environments of a changed definition, servers whose host key nobody agreed to, what runs wrote beside
folders, changes and losses in files of secrets, rotations that do not get on. What runs wrote is told by the daemon of the machine where they ran.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.Approval]
			if err := cl.call(cmd.Context(), "GET", path("approvals"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, x := range page.Items {
					rows = append(rows, []string{plain(x.ID), plain(x.What), plain(x.Command)})
				}
				table(w, []string{"ID", "WHAT", "DO"}, rows)
			})
		},
	}
}

func newDecide(a *app, decision, done, short string) *cobra.Command {
	in := api.Decide{Decision: decision}
	c := &cobra.Command{
		Use: decision + " ID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.approvalIDs), Example: "  zavhoz " + decision + " environment:env_weather-bot_0123456789ab",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.Decided
			if err := cl.call(cmd.Context(), "POST", path("approvals", args[0]), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "%s %s.\n", done, plain(out.ID)) })
		},
	}
	c.Flags().StringVar(&in.Why, "why", "", "the reason, for the history")
	return c
}

func newApprove(a *app) *cobra.Command {
	return newDecide(a, "approve", "Approved", "Approve what waits for your word: with your presence")
}

func newDeny(a *app) *cobra.Command {
	return newDecide(a, "deny", "Denied", "Deny what waits for your word: an environment is disabled, changes are thrown away")
}

func (a *app) approvalIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "approvals", func(x api.Approval) string { return cobra.CompletionWithDesc(x.ID, x.What) })
}
