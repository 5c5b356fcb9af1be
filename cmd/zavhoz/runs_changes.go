package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRunsChanges(a *app) *cobra.Command {
	var diff bool
	c := &cobra.Command{
		Use: "changes [RUN_ID]", Short: "Show what runs wrote beside overlaid folders", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeOne(false, a.heldIDs),
		Long: "Show what runs wrote beside working directories of mode overlay: of all runs, or of one; with --diff, line by line. It is held until you keep it (zavhoz runs keep) or throw it " +
			"away (zavhoz runs discard), also over a restart; after a month it goes. The next run of the same agent beside the same folder goes on from it, and holds all of it then. " +
			"Read it before you keep it: a changed Makefile or git hook runs as you, and a link can lead anywhere.",
		Example: "  zavhoz runs changes\n  zavhoz runs changes run_abcdefghijklmnopqrstuvwxyz --diff\n  zavhoz runs changes --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if diff && len(args) == 0 {
				return fault.New(fault.InvalidArgument, "a diff is of one run", "zavhoz runs changes lists them; then: zavhoz runs changes RUN_ID --diff")
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			if diff {
				return a.showDiff(cmd.Context(), cl, args[0])
			}
			var page api.Page[api.HeldChanges]
			if err := cl.call(cmd.Context(), "GET", path("changes"), nil, &page); err != nil {
				return err
			}
			if len(args) > 0 {
				page.Items = slices.DeleteFunc(page.Items, func(h api.HeldChanges) bool { return h.RunID != args[0] })
				if len(page.Items) == 0 {
					return notHeld(cmd.Context(), cl, args[0])
				}
			}
			return a.show(page, func(w io.Writer) { printHeld(w, page.Items) })
		},
	}
	c.Flags().BoolVar(&diff, "diff", false, "show what would become of the text of files, line by line, against what is in the folders now")
	return c
}

// notHeld has the daemon say where a run's changes went: to a later run, to another daemon's machine.
func notHeld(ctx context.Context, cl *client, id string) error {
	if err := cl.call(ctx, "GET", path("changes", id, "diff"), nil, nil); err != nil {
		return err
	}
	return fault.New(fault.UnknownRun, "no changes of such a run were held, and now they are", "zavhoz runs changes "+id)
}

func printHeld(w io.Writer, all []api.HeldChanges) {
	if len(all) == 0 {
		fmt.Fprintln(w, "No changes are held.")
	}
	for _, h := range all {
		fmt.Fprintf(w, "%s  %s: %s\n", h.RunID, plain(h.Agent), plain(shortened(strings.Join(h.Command, " "), 80)))
		if len(h.Before) > 0 {
			fmt.Fprintf(w, "  with those of: %s\n", strings.Join(h.Before, ", "))
		}
		if !h.Lasting {
			fmt.Fprintln(w, "  they go when the daemon ends: the file system of the vault's folder takes no layers")
		}
		var rows [][]string
		for _, c := range h.Changes {
			rows = append(rows, []string{"  " + c.Kind, size(c), plain(c.Path) + loud(c.Marks)})
		}
		table(w, []string{"  CHANGE", "BYTES", "PATH"}, rows)
	}
}

// size is a file's, and what it was.
func size(c api.HeldChange) string {
	now := strconv.FormatInt(c.Bytes, 10)
	if c.Kind != "modified" || c.Type != "file" || c.WasBytes == c.Bytes {
		return now
	}
	return strconv.FormatInt(c.WasBytes, 10) + " → " + now
}

// loud is what a person should not overlook of a path, behind it.
func loud(marks []string) string {
	if len(marks) == 0 {
		return ""
	}
	return "  [" + plain(strings.Join(marks, "; ")) + "]"
}

func (a *app) showDiff(ctx context.Context, cl *client, id string) error {
	var d api.ChangesDiff
	if err := cl.call(ctx, "GET", path("changes", id, "diff"), nil, &d); err != nil {
		return err
	}
	return a.show(d, func(w io.Writer) {
		for _, f := range d.Files {
			fmt.Fprintf(w, "%s %s%s\n", f.Kind, plain(f.Path), loud(f.Marks))
			if f.Happening != "" {
				fmt.Fprintf(w, "  in the folder itself it %s meanwhile\n", happened(f.Happening))
			}
			if f.Why != "" && f.Why != "no file" {
				fmt.Fprintf(w, "  no text is shown: %s\n", f.Why)
			}
			for line := range strings.Lines(f.Diff) {
				fmt.Fprintln(w, plain(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    ")))
			}
		}
	})
}

// happened is a happening as the rest of a sentence.
func happened(what string) string {
	switch what {
	case "deleted":
		return "was deleted"
	case "too large to be compared":
		return "may have changed: it is too large to be compared"
	}
	return what
}

// heldIDs completes the runs whose changes are held.
func (a *app) heldIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "changes", func(h api.HeldChanges) string {
		return cobra.CompletionWithDesc(h.RunID, h.Agent+": "+count(len(h.Changes), "change"))
	})
}
