package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/web/api"
)

func newApprovals(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "approvals", Short: "List what waits for your word, and what to type for each", Args: cobra.NoArgs, Example: "  zavhoz approvals",
		Long: `List what waits for a person's word: calls of agents with resources whose every run a person approves, secrets that projects lack, environments of a changed definition, servers whose host key nobody agreed to, what runs wrote beside
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
					rows = append(rows, []string{plain(x.ID), cut(plain(x.What)), plain(x.Command)})
				}
				table(w, []string{"ID", "WHAT", "DO"}, rows)
			})
		},
	}
	c.AddCommand(newApprovalShow(a))
	return c
}

func newApprovalShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show what waits: of an agent's call, all that it would do", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.approvalIDs), Example: "  zavhoz approvals show apr_…",
		Long: `Show one thing that waits for a person's word. Of an agent's call you see what your word would be for, and nothing else: its command word by word, its folder, its variables,
what it reads, and how each resource would reach it. Secrets of the vault are masked. All but printable ASCII is written as an escape (\u0430 is a Cyrillic letter that looks
like a), a backslash as two; what is too long to show is cut between ⟨ and ⟩. A file that the command reads is not among it: the agent may change that after.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var x api.Approval
			if err := cl.call(cmd.Context(), "GET", path("approvals", args[0]), nil, &x); err != nil {
				return err
			}
			return a.show(x, func(w io.Writer) { writeApproval(w, x) })
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
			if decision == "approve" && id.Is(args[0], id.Approval) && a.person() {
				if err := a.looked(cmd.Context(), cl, args[0]); err != nil {
					return err
				}
			}
			var out api.Decided
			if err := cl.call(cmd.Context(), "POST", path("approvals", args[0]), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "%s %s.\n", done, plain(out.ID)) })
		},
	}
	c.Flags().StringVar(&in.Why, "why", "", "the reason, for the history; of a call that is denied the agent is told it")
	return c
}

func newApprove(a *app) *cobra.Command {
	return newDecide(a, "approve", "Approved", "Approve what waits for your word: with your presence. An agent's call then runs once, when it makes exactly the same call again within an hour")
}

func newDeny(a *app) *cobra.Command {
	return newDecide(a, "deny", "Denied", "Deny what waits for your word: a call is refused, also one that was approved and has not run; an environment is disabled, changes are thrown away")
}

func (a *app) approvalIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "approvals", func(x api.Approval) string { return cobra.CompletionWithDesc(x.ID, x.What) })
}
