package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newProject(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "project", Short: "Projects: what groups resources", Aliases: []string{"projects"}})
	c.AddCommand(newProjectCreate(a), newProjectList(a), newProjectShow(a), newProjectSecret(a), newProjectAdopt(a), newProjectEnv(a))
	return c
}

func newProjectCreate(a *app) *cobra.Command {
	var in api.NewProject
	c := &cobra.Command{
		Use: "create SLUG", Short: "Make a project", Args: cobra.ExactArgs(1), Example: `  zavhoz project create weather-bot --title "Weather bot"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Slug = args[0]
			cl, err := a.client()
			if err != nil {
				return err
			}
			var p vault.Project
			if err := cl.call(cmd.Context(), "POST", path("projects"), in, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { fmt.Fprintf(w, "Made project %s (%s).\n", p.Slug, p.ID) })
		},
	}
	c.Flags().StringVar(&in.Title, "title", "", "its name for people")
	return c
}

func newProjectList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List projects", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz project list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[vault.Project]
			if err := cl.call(cmd.Context(), "GET", path("projects"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, p := range page.Items {
					rows = append(rows, []string{p.Slug, p.ID, dash(p.Title), ago(p.CreatedAt)})
				}
				table(w, []string{"SLUG", "ID", "TITLE", "MADE"}, rows)
			})
		},
	}
}
