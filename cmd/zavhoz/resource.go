package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/web/api"
)

func newResource(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "resource", Short: "Credentials and machines: add, list, edit, policy", Aliases: []string{"resources", "res"}})
	c.AddCommand(newResourceAdd(a), newResourceList(a), newResourceShow(a), newResourceEdit(a), newResourceRename(a), newResourceRemove(a),
		newResourceHistory(a), newResourceRollback(a), newResourcePurge(a), newResourceRotate(a), newResourcePolicy(a), newKinds(a))
	return c
}

func newResourceList(a *app) *cobra.Command {
	var f vault.Filter
	c := &cobra.Command{
		Use: "list", Short: "List resources", Args: cobra.NoArgs, Aliases: []string{"ls"},
		Example: "  zavhoz resource list\n  zavhoz resource list --kind server --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.resources(cmd.Context(), f)
			if err != nil {
				return err
			}
			return a.show(api.Page[api.Resource]{Items: all}, func(w io.Writer) {
				if len(all) == 0 {
					fmt.Fprintln(w, "No resources yet. Add one: zavhoz resource add KIND HANDLE …")
					return
				}
				var rows [][]string
				for _, r := range all {
					rows = append(rows, []string{r.Handle, r.Kind, r.Project, r.Status, pairs(r.Attrs), fmt.Sprint(r.Uses), ago(r.UpdatedAt)})
				}
				table(w, []string{"HANDLE", "KIND", "PROJECT", "STATUS", "ATTRIBUTES", "USES", "CHANGED"}, rows)
			})
		},
	}
	c.Flags().StringVar(&f.Kind, "kind", "", "only this kind")
	c.Flags().StringVar(&f.Project, "project", "", "only this project's")
	c.Flags().StringVar(&f.Label, "label", "", "only with this label: key or key=value")
	_ = c.RegisterFlagCompletionFunc("kind", completeKinds)
	completeFlag(c, "project", a.projectSlugs)
	return c
}

// resources reads every page.
func (a *app) resources(ctx context.Context, f vault.Filter) ([]api.Resource, error) {
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	all := []api.Resource{}
	for {
		q := url.Values{"limit": {"500"}}
		for k, v := range map[string]string{"kind": f.Kind, "project": f.Project, "label": f.Label, "cursor": f.Cursor} {
			if v != "" {
				q.Set(k, v)
			}
		}
		var page api.Page[api.Resource]
		if err := cl.call(ctx, "GET", path("resources")+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return all, nil
		}
	}
}

// resource reads one.
func (a *app) resource(ctx context.Context, handle string) (*client, api.Resource, error) {
	var r api.Resource
	cl, err := a.client()
	if err != nil {
		return nil, r, err
	}
	return cl, r, cl.call(ctx, "GET", path("resources", handle), nil, &r)
}

func newResourceShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show HANDLE", Short: "Show a resource; values are never shown", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Example: "  zavhoz resource show prod_vps_1",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, r, err := a.resource(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showResource(r)
		},
	}
}

func (a *app) showResource(r api.Resource) error {
	return a.show(r, func(w io.Writer) {
		line := func(k, v string) { fmt.Fprintf(w, "%-12s %s\n", k, plain(v)) }
		line("handle", r.Handle)
		line("id", r.ID)
		line("kind", r.Kind)
		line("project", r.Project)
		line("status", r.Status)
		if r.Source != "" {
			line("lives in", r.Source)
		}
		line("version", fmt.Sprintf("%d, %s by %s", r.Version, ago(r.UpdatedAt), r.UpdatedBy))
		line("uses", fmt.Sprint(r.Uses))
		for _, k := range slices.Sorted(maps.Keys(r.Attrs)) {
			line("  "+k, r.Attrs[k])
		}
		for _, text := range r.Remarks { // of an environment: what each variable is made of
			line("  sets", text)
		}
		for _, k := range slices.Sorted(maps.Keys(r.Secrets)) {
			line("  "+k, "[secret, "+r.Secrets[k].Length+"]")
		}
		if names := fills(r); names != "" {
			line("fills", names)
		}
		if len(r.Labels) > 0 {
			line("labels", pairs(r.Labels))
		}
		for _, l := range policyLines(r.Policy) {
			line("policy", l)
		}
	})
}

// fills names the variables that a run with the resource gets.
func fills(r api.Resource) string {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return "" // a kind of another version of zavhoz
	}
	var names []string
	for _, v := range k.EnvVars(r.Attrs) {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

func newResourceRename(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rename HANDLE NEW", Short: "Give a resource another handle; its leases and history stay", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOne(false, a.handles),
		Example: "  zavhoz resource rename vps_old prod_vps_1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Context(), "POST", path("resources", args[0], "rename"), api.Rename{Handle: args[1]}, "Renamed to")
		},
	}
}

func newResourceRemove(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "rm HANDLE", Short: "Remove a resource with its history and leases", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles), Aliases: []string{"remove"},
		Example: "  zavhoz resource rm old_key --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.agreed(cmd.Context(), sure, "Remove "+plain(args[0])+" with its whole history?"); err != nil {
				return err
			}
			return a.change(cmd.Context(), "DELETE", path("resources", args[0]), nil, "Removed")
		},
	}
	sure.register(c)
	return c
}

// change makes a call that answers with a resource, and says what was done.
func (a *app) change(ctx context.Context, method, where string, in any, done string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var r api.Resource
	if err := cl.call(ctx, method, where, in, &r); err != nil {
		return err
	}
	a.remarks(r)
	return a.show(r, func(w io.Writer) { fmt.Fprintf(w, "%s %s (%s, version %d).\n", done, r.Handle, r.Kind, r.Version) })
}

// remarks prints what the validation had to say.
func (a *app) remarks(r api.Resource) {
	for _, s := range r.Remarks {
		a.hint("note: %s", plain(s))
	}
}

func newResourceHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "history HANDLE", Short: "Show the kept versions, newest first", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Example: "  zavhoz resource history openai_main",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[vault.Version]
			if err := cl.call(cmd.Context(), "GET", path("resources", args[0], "history"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, v := range page.Items {
					rows = append(rows, []string{fmt.Sprint(v.Version), ago(v.UpdatedAt), v.UpdatedBy, dash(strings.Join(v.Changed, ", ")), dash(v.Why)})
				}
				table(w, []string{"VERSION", "WHEN", "WHO", "CHANGED", "WHY"}, rows)
			})
		},
	}
}

func newResourceRollback(a *app) *cobra.Command {
	var in api.Rollback
	c := &cobra.Command{
		Use: "rollback HANDLE --version N", Short: "Make an earlier version's values present again; the policy stays", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Example: "  zavhoz resource rollback openai_main --version 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Context(), "POST", path("resources", args[0], "rollback"), in, "Rolled back")
		},
	}
	c.Flags().Uint64Var(&in.Version, "version", 0, "the version to go back to (see history)")
	c.Flags().StringVar(&in.Why, "why", "", "the reason, for the history")
	_ = c.MarkFlagRequired("version")
	return c
}

// pairs prints a map as sorted key=value.
func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if len(v) > 40 {
			v = v[:37] + "…"
		}
		out = append(out, k+"="+v)
	}
	return dash(strings.Join(out, " "))
}
