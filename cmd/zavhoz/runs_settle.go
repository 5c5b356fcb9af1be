package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRunsKeep(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "keep RUN_ID [PATH…]", Short: "Apply what a run wrote to the real folders", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeOne(false, a.heldIDs),
		Long: "Apply what a run wrote beside overlaid folders to the folders themselves: all of it, or what is at and below the paths that are named; the rest stays held. " +
			"It asks for the operator's passphrase where one is set: what a model made becomes yours. Where you changed one of the files since the run saw it, nothing is kept, " +
			"and each is named with what happened to it; --force keeps the run's over yours, and asks first where somebody sits at a terminal.",
		Example: "  zavhoz runs keep run_abcdefghijklmnopqrstuvwxyz\n  zavhoz runs keep run_abcdefghijklmnopqrstuvwxyz src/main.go",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.KeepChanges{}
			for _, p := range args[1:] {
				full, err := filepath.Abs(p)
				if err != nil {
					return fault.New(fault.InvalidArgument, "a path cannot be made absolute here", "give it as zavhoz runs changes shows it")
				}
				in.Paths = append(in.Paths, full)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			err = cl.call(cmd.Context(), "POST", path("changes", args[0], "keep"), in, nil)
			if force && fault.CodeOf(err) == fault.VersionConflict {
				err = a.keepOver(cmd.Context(), cl, args[0], in, err)
			}
			if err != nil {
				a.conflicts(err)
				return err
			}
			return a.settledAs(args[0], "kept")
		},
	}
	c.Flags().BoolVar(&force, "force", false, "keep also over what changed in the folder itself meanwhile")
	return c
}

// keepOver keeps the run's files over a person's own, once they have seen which.
func (a *app) keepOver(ctx context.Context, cl *client, id string, in api.KeepChanges, why error) error {
	if a.person() {
		a.conflicts(why)
		if !a.askYes(ctx, "Keep the run's in their place?") {
			return fault.New(fault.Canceled, "nothing was kept", "")
		}
	}
	in.Force = true
	return cl.call(ctx, "POST", path("changes", id, "keep"), in, nil)
}

// conflicts names the paths that changed meanwhile.
func (a *app) conflicts(err error) {
	f := fault.Of(err)
	list, _ := f.Details["conflicts"].([]any)
	if f.Code != fault.VersionConflict || a.json {
		return
	}
	for _, one := range list {
		c, _ := one.(map[string]any)
		p, _ := c["path"].(string)
		what, _ := c["what"].(string)
		fmt.Fprintf(a.stderr, "  %s %s meanwhile\n", plain(p), plain(happened(what)))
	}
	if n, _ := f.Details["conflict_count"].(float64); int(n) > len(list) {
		fmt.Fprintf(a.stderr, "  … and %d more\n", int(n)-len(list))
	}
}

func newRunsDiscard(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "discard RUN_ID", Short: "Throw away what a run wrote", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.heldIDs),
		Long:    "Throw away what a run wrote beside overlaid folders. The folders are as they were.",
		Example: "  zavhoz runs discard run_abcdefghijklmnopqrstuvwxyz",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.agreed(cmd.Context(), sure, "Throw away what "+plain(args[0])+" wrote?"); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			if err := cl.call(cmd.Context(), "POST", path("changes", args[0], "discard"), nil, nil); err != nil {
				return err
			}
			return a.settledAs(args[0], "thrown away")
		},
	}
	sure.register(c)
	return c
}

func (a *app) settledAs(id, done string) error {
	return a.show(map[string]string{"run_id": id, "changes": done}, func(w io.Writer) { fmt.Fprintf(w, "%s: %s.\n", id, done) })
}
