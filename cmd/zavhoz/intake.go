package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newIntake(a *app) *cobra.Command {
	c := group(&cobra.Command{
		Use: "intake", Short: "Requests that you give a secret: from agents, or for somebody else to answer", Aliases: []string{"intakes"},
		Long: `Requests that a person give a secret. An agent makes one where it lacks something (request_secret); you make one for a colleague who has what you have not.

You answer one with ` + "`zavhoz intake give`" + `. Somebody else answers it in a browser, where pages are served (zavhoz serve --listen): they open its link, which is no secret, and type the
code that ` + "`zavhoz intake code`" + ` gives you for them. The code works once; send it by another way than the link.`,
	})
	c.AddCommand(newIntakeList(a), newIntakeShow(a), newIntakeGive(a), newIntakeDeny(a), newIntakeCode(a), newIntakeNew(a))
	return c
}

// intakeFor says in a few words what a request is for.
func intakeFor(i api.Intake) string {
	if i.Key != "" {
		return i.Project + " " + i.Key
	}
	return i.Kind + " " + i.Handle
}

func newIntakeList(a *app) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use: "list", Short: "List the requests that wait", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz intake list\n  zavhoz intake list --all",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.Intake]
			if err := cl.call(cmd.Context(), "GET", path("intakes"), nil, &page); err != nil {
				return err
			}
			shown := []api.Intake{}
			for _, i := range page.Items {
				if all || i.State == string(vault.IntakeWaiting) {
					shown = append(shown, i)
				}
			}
			page.Items = shown
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, i := range page.Items {
					rows = append(rows, []string{i.ID, i.State, plain(intakeFor(i)), plain(i.By), ago(i.CreatedAt), cut(plain(i.Reason))})
				}
				table(w, []string{"REQUEST", "STATE", "FOR", "BY", "MADE", "REASON"}, rows)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "those that were answered or have expired, too")
	return c
}

func newIntakeShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST", Short: "Show one request", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.intakeIDs), Example: "  zavhoz intake show itk_xhbyq3k2xv7e5bnzq2m4c6d7fa",
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.intake(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(i, func(w io.Writer) {
				rows := [][]string{{"For", plain(intakeFor(i))}, {"Project", i.Project}, {"Asked by", plain(i.By)}, {"Reason", plain(i.Reason)}, {"State", i.State}}
				if i.State == string(vault.IntakeWaiting) {
					rows = append(rows, []string{"Until", i.ExpiresAt.Local().Format(time.DateTime)}, []string{"Answer", i.Command}, []string{"Page", dash(i.Link)})
				} else {
					rows = append(rows, []string{"Ended", ago(i.EndedAt) + " by " + plain(i.EndedBy)}, []string{"Gave", dash(i.Gave)}, []string{"Why", dash(plain(i.Why))})
				}
				table(w, []string{"REQUEST", i.ID}, rows)
			})
		},
	}
}

func (a *app) intake(ctx context.Context, ref string) (i api.Intake, err error) {
	cl, err := a.client()
	if err != nil {
		return i, err
	}
	return i, cl.call(ctx, "GET", path("intakes", ref), nil, &i)
}

func newIntakeDeny(a *app) *cobra.Command {
	var in api.DenyIntake
	c := &cobra.Command{
		Use: "deny REQUEST", Short: "Say no to a request; who asked reads why", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.intakeIDs),
		Example: `  zavhoz intake deny itk_xhbyq3k2xv7e5bnzq2m4c6d7fa --why "use the test key"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.Intake
			if err := cl.call(cmd.Context(), "POST", path("intakes", args[0], "deny"), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "Denied %s.\n", out.ID) })
		},
	}
	c.Flags().StringVar(&in.Why, "why", "", "the reason; an agent reads it")
	return c
}

func newIntakeCode(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "code REQUEST", Short: "Make the code with which somebody answers a request in a browser, once", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.intakeIDs),
		Long: `Make the code that opens a request's page, and print it once. A code that was made before for the same request opens nothing any more. Whoever has link and code sees what is
asked for and gives it; they see nothing else. Ten wrong codes end a code.`,
		Example: "  zavhoz intake code itk_xhbyq3k2xv7e5bnzq2m4c6d7fa",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.IntakeCode
			if err := cl.call(cmd.Context(), "POST", path("intakes", args[0], "code"), nil, &out); err != nil {
				return err
			}
			if out.Link == "" {
				a.hint("No pages are served here: start the daemon with `zavhoz serve --listen 127.0.0.1:8443`, or give it yourself with `%s`.", api.IntakeCommand(out.ID))
			} else {
				a.hint("The page is %s\nIts code, which works once (send it by another way than the link):", out.Link)
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintln(w, out.Code) })
		},
	}
}

func newIntakeNew(a *app) *cobra.Command {
	var in api.NewIntake
	c := &cobra.Command{
		Use: "new", Short: "Ask somebody else for a secret", Args: cobra.NoArgs,
		Example: `  zavhoz intake new --project weather-bot --key OPENAI_API_KEY --reason "the bot answers with it"
  zavhoz intake new --kind api_key --handle openai_main --reason "for everybody's agents"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.Intake
			if err := cl.call(cmd.Context(), "POST", path("intakes"), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				if out.ID == "" {
					fmt.Fprintf(w, "%s is there already.\n", plain(out.Gave))
					return
				}
				fmt.Fprintf(w, "%s waits for %s until %s.\nGive it:              zavhoz intake give %[1]s\nLet somebody give it: zavhoz intake code %[1]s\n", out.ID, plain(intakeFor(out)), out.ExpiresAt.Local().Format(time.DateTime))
			})
		},
	}
	c.Flags().StringVar(&in.Project, "project", "", "the project, by slug or id (of a resource: default)")
	c.Flags().StringVar(&in.Key, "key", "", "the name of a project's secret")
	c.Flags().StringVar(&in.Kind, "kind", "", "the kind of a resource")
	c.Flags().StringVar(&in.Handle, "handle", "", "the handle that the resource is to have")
	c.Flags().StringVar(&in.Reason, "reason", "", "one line: what it is for")
	completeFlag(c, "project", a.projectSlugs)
	return c
}

func (a *app) intakeIDs(ctx context.Context) ([]string, error) {
	ids, err := listed(ctx, a, "intakes", func(i api.Intake) string {
		if i.State != string(vault.IntakeWaiting) {
			return ""
		}
		return cobra.CompletionWithDesc(i.ID, intakeFor(i))
	})
	return slices.DeleteFunc(ids, func(x string) bool { return x == "" }), err
}
