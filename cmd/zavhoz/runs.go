package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRuns(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "runs", Short: "Runs of every agent: list, stop, and what they wrote: changes, keep, discard"})
	c.AddCommand(newRunsList(a), newRunsStop(a), newRunsChanges(a), newRunsKeep(a), newRunsDiscard(a))
	return c
}

func newRunsList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the runs under way", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz runs list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[vault.Run]
			if err := cl.call(cmd.Context(), "GET", path("runs"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				if len(page.Items) == 0 {
					fmt.Fprintln(w, "Nothing runs.")
					return
				}
				var rows [][]string
				for _, r := range page.Items {
					rows = append(rows, []string{r.ID, r.Actor.Name, strings.Join(r.Handles, ","), r.Isolation, shortened(strings.Join(r.Command, " "), 60), ago(r.StartedAt)})
				}
				table(w, []string{"RUN", "WHO", "RESOURCES", "ISOLATION", "COMMAND", "STARTED"}, rows)
			})
		},
	}
}

// shortened keeps the beginning of a text, n letters at most.
func shortened(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// runIDs completes the runs under way.
func (a *app) runIDs(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "runs", func(r vault.Run) string {
		return cobra.CompletionWithDesc(r.ID, r.Actor.Name+": "+strings.Join(r.Handles, ","))
	})
}

func newRunsStop(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stop RUN_ID", Short: "Stop a run, whoever started it, with all its processes", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.runIDs),
		Long:    "Stop a run, whoever started it, with all its processes, and wait for its end. Stopping one that has ended is fine. A person's own open run is ended where it was started.",
		Example: "  zavhoz runs stop run_abcdefghijklmnopqrstuvwxyz",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.StoppedRun
			if err := cl.call(cmd.Context(), "POST", path("runs", args[0], "stop"), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "%s: %s.\n", out.RunID, out.State) })
		},
	}
}

// stopRun ends a run of anybody's and tells how it ended.
func (d *daemon) stopRun(ctx context.Context, actor vault.Actor, runID string) (vault.RunState, error) {
	r, err := d.engine.Stop(ctx, actor, runID)
	if err != nil {
		return "", err
	}
	if r.State == vault.RunRunning && ctx.Err() == nil {
		return "", fault.New(fault.NotSupported, "that is a person's own open run: the daemon did not start it", "end it where it was started")
	}
	return r.State, nil
}
