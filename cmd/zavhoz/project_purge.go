package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newSecretPurge(a *app) *cobra.Command {
	var in api.Purge
	var older string
	var sure consent
	c := &cobra.Command{
		Use: "purge PROJECT NAME", Short: "Remove earlier values of a secret for good", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Long: `Remove earlier values of a project's secret for good; the present one stays. How many are kept without it is versions.keep in config.yaml. A value that is forgotten is no
longer masked in output: purge what works no more. project secret set --purge does it with the new value.

The vault's file may hold the removed values, sealed, in pages that are free until something else is written there; zavhoz compact writes the file without them.
Backups that were taken before hold them as well.`,
		Example: `  zavhoz project secret purge weather-bot OPENAI_API_KEY --all
  zavhoz project secret purge weather-bot OPENAI_API_KEY --before 7
  zavhoz project secret purge weather-bot OPENAI_API_KEY --older-than 90d --yes`,
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
			n, err := purgedValues(cmd.Context(), cl, args, in, time.Now())
			if err != nil {
				return err
			}
			if n > 0 { // where nothing would go, there is nothing to ask
				if err := a.agreed(cmd.Context(), sure, "Remove "+count(n, "earlier value")+" of "+plain(args[1])+" for good?"); err != nil {
					return err
				}
			}
			var out api.PurgedSecret
			if err := cl.call(cmd.Context(), "POST", secretsPath(args[0], args[1], "purge"), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				if len(out.Versions) == 0 {
					fmt.Fprintln(w, "There was no such value; nothing was removed.")
					return
				}
				fmt.Fprintf(w, "Removed %s of %s of %s.\n", count(len(out.Versions), "earlier value"), plain(args[1]), plain(args[0]))
			})
		},
	}
	fl := c.Flags()
	fl.BoolVar(&in.All, "all", false, "every earlier value")
	fl.Uint64Var(&in.Before, "before", 0, "the versions before this one")
	fl.StringVar(&older, "older-than", "", "the values that were replaced longer ago than this: 90d, 720h")
	c.MarkFlagsOneRequired("all", "before", "older-than")
	c.MarkFlagsMutuallyExclusive("all", "before", "older-than")
	sure.register(c)
	return c
}

// purgedValues counts the values that would go, by the rule of the vault: oldest first, up to the first that stays.
func purgedValues(ctx context.Context, cl *client, args []string, p api.Purge, now time.Time) (n int, err error) {
	var page api.Page[api.SecretVersion]
	if err := cl.call(ctx, "GET", secretsPath(args[0], args[1], "history"), nil, &page); err != nil {
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
