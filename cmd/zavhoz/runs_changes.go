package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRunsChanges(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "changes", Short: "Show what runs wrote beside overlaid folders", Args: cobra.NoArgs,
		Long: "Show what runs wrote beside working directories of mode overlay. It is held for a day, until you keep it (zavhoz runs keep) or throw it away (zavhoz runs discard); " +
			"it goes when the daemon ends. Read it before you keep it: a changed Makefile or git hook runs as you.",
		Example: "  zavhoz runs changes\n  zavhoz runs changes --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.HeldChanges]
			if err := cl.call(cmd.Context(), "GET", path("changes"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				if len(page.Items) == 0 {
					fmt.Fprintln(w, "No changes are held.")
				}
				for _, h := range page.Items {
					fmt.Fprintf(w, "%s  %s: %s\n", h.RunID, plain(h.Agent), plain(shortened(strings.Join(h.Command, " "), 80)))
					var rows [][]string
					for _, c := range h.Changes {
						rows = append(rows, []string{"  " + c.Kind, strconv.FormatInt(c.Bytes, 10), plain(c.Path)})
					}
					table(w, []string{"  CHANGE", "BYTES", "PATH"}, rows)
				}
			})
		},
	}
}

func newRunsSettle(a *app, word, short, long, done string) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: word + " RUN_ID", Short: short, Long: long, Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.heldIDs),
		Example: "  zavhoz runs " + word + " run_abcdefghijklmnopqrstuvwxyz",
		RunE: func(cmd *cobra.Command, args []string) error {
			if word == "discard" {
				if err := a.agreed(cmd.Context(), sure, "Throw away what "+plain(args[0])+" wrote?"); err != nil {
					return err
				}
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			if err := cl.call(cmd.Context(), "POST", path("changes", args[0], word), nil, nil); err != nil {
				return err
			}
			return a.show(map[string]string{"run_id": args[0], "changes": done}, func(w io.Writer) { fmt.Fprintf(w, "%s: %s.\n", args[0], done) })
		},
	}
	if word == "discard" {
		sure.register(c)
	}
	return c
}

// heldIDs completes the runs whose changes are held.
func (a *app) heldIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "changes", func(h api.HeldChanges) string {
		return cobra.CompletionWithDesc(h.RunID, h.Agent+": "+count(len(h.Changes), "change"))
	})
}

// Held lists what runs wrote beside folders.
func (o openRuns) Held(actor vault.Actor) ([]api.HeldChanges, error) {
	held, err := o.e.Holding(actor)
	out := make([]api.HeldChanges, len(held))
	for i, h := range held {
		out[i] = api.HeldChanges{RunID: h.RunID, Agent: h.Agent, Command: h.Command, Until: h.Until.UTC(), Changes: make([]api.HeldChange, len(h.Changes))}
		for j, c := range h.Changes {
			out[i].Changes[j] = api.HeldChange{Path: filepath.Join(c.Workdir, c.Path), Kind: string(c.Kind), Bytes: c.Bytes}
		}
	}
	return out, err
}

// Settle keeps what a run wrote, or throws it away.
func (o openRuns) Settle(ctx context.Context, actor vault.Actor, runID string, keep bool) error {
	return o.e.Settle(ctx, actor, runID, keep)
}
