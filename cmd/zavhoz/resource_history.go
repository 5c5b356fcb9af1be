package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newResourcePurge(a *app) *cobra.Command {
	var in api.Purge
	var older string
	var sure consent
	c := &cobra.Command{
		Use: "purge HANDLE", Short: "Remove earlier versions of a resource for good", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Long: `Remove earlier versions of a resource for good; the present one stays. How many are kept without it is versions.keep in config.yaml. A value that is forgotten is no longer
masked in output: purge what works no more.

The vault's file may hold the removed versions, sealed, in pages that are free until something else is written there; zavhoz compact writes the file without them.
Backups that were taken before hold them as well.`,
		Example: `  zavhoz resource purge openai_main --all
  zavhoz resource purge openai_main --before 7
  zavhoz resource purge openai_main --older-than 90d --yes`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if older != "" {
				if in.OlderThanS, err = seconds(older); err != nil {
					return err
				}
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			n, err := purged(cmd.Context(), cl, args[0], in, time.Now())
			if err != nil {
				return err
			}
			if n > 0 { // where nothing would go, there is nothing to ask
				if err := a.agreed(cmd.Context(), sure, "Remove "+count(n, "earlier version")+" of "+plain(args[0])+" for good?"); err != nil {
					return err
				}
			}
			var out api.Purged
			if err := cl.call(cmd.Context(), "POST", path("resources", args[0], "purge"), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { printPurged(w, out) })
		},
	}
	fl := c.Flags()
	fl.BoolVar(&in.All, "all", false, "every earlier version")
	fl.Uint64Var(&in.Before, "before", 0, "the versions before this one")
	fl.StringVar(&older, "older-than", "", "the versions that were replaced longer ago than this: 90d, 720h")
	c.MarkFlagsOneRequired("all", "before", "older-than")
	c.MarkFlagsMutuallyExclusive("all", "before", "older-than")
	sure.register(c)
	return c
}

// purged counts the versions that would go, by the rule of the vault: oldest first, up to the first that stays.
func purged(ctx context.Context, cl *client, handle string, p api.Purge, now time.Time) (n int, err error) {
	var page api.Page[vault.Version]
	if err := cl.call(ctx, "GET", path("resources", handle, "history"), nil, &page); err != nil {
		return 0, err
	}
	for i := len(page.Items) - 1; i > 0; i-- {
		replaced := page.Items[i-1].UpdatedAt
		if !p.All && page.Items[i].Version >= p.Before && (p.OlderThanS == 0 || now.Sub(replaced) <= time.Duration(p.OlderThanS)*time.Second) {
			break
		}
		n++
	}
	return n, nil
}

func printPurged(w io.Writer, p api.Purged) {
	if len(p.Versions) == 0 {
		fmt.Fprintln(w, "There was no such version; nothing was removed.")
		return
	}
	fmt.Fprintf(w, "Removed %s of %s.\n", count(len(p.Versions), "version"), p.Resource.Handle)
	fmt.Fprintln(w, "The vault's file may hold them, sealed, in free pages: zavhoz stop && zavhoz compact writes it without them. So do backups of before.")
}

// seconds reads a time that is at least a second: 90d, or what Go writes.
func seconds(s string) (int64, error) {
	const day = 24 * time.Hour
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil {
			d = time.Duration(min(n, 100_000)) * day
		}
	}
	if err != nil || d < time.Second {
		return 0, fault.New(fault.InvalidArgument, "a time is a number of days, hours or minutes: 90d, 720h", "write a whole number and d, h or m")
	}
	return int64(d / time.Second), nil
}
