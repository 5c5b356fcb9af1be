package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// purging is a command that removes earlier versions of something for good: of a resource, or of a project's secret.
type purging struct {
	a     *app
	noun  string // version, value
	in    api.Purge
	older string
	sure  consent
}

// purgeNote ends the help of each such command.
const purgeNote = `

The vault's file may hold what was removed, sealed, in pages that are free until something else is written there; zavhoz compact writes the file without them.
Backups that were taken before hold it as well.`

func (p *purging) register(c *cobra.Command) *cobra.Command {
	fl := c.Flags()
	fl.BoolVar(&p.in.All, "all", false, "every earlier "+p.noun)
	fl.Uint64Var(&p.in.Before, "before", 0, "the versions before this one")
	fl.StringVar(&p.older, "older-than", "", "the "+p.noun+"s that were replaced longer ago than this: 90d, 720h")
	c.MarkFlagsOneRequired("all", "before", "older-than")
	c.MarkFlagsMutuallyExclusive("all", "before", "older-than")
	p.sure.register(c)
	return c
}

// run says how many would go, asks, and removes them. where is the path of what has the history, of its name.
func (p *purging) run(ctx context.Context, of string, where func(more ...string) string) (err error) {
	if p.older != "" {
		if p.in.OlderThanS, err = seconds(p.older); err != nil {
			return err
		}
	}
	cl, err := p.a.client()
	if err != nil {
		return err
	}
	var page api.Page[purgeable]
	if err := cl.call(ctx, "GET", where("history"), nil, &page); err != nil {
		return err
	}
	if n := purged(page.Items, p.in, time.Now()); n > 0 { // where nothing would go, there is nothing to ask
		if err := p.a.agreed(ctx, p.sure, "Remove "+count(n, "earlier "+p.noun)+" of "+of+" for good?"); err != nil {
			return err
		}
	}
	var out struct {
		Name     string        `json:"name,omitempty"`     // of a secret
		Resource *api.Resource `json:"resource,omitempty"` // a resource, as it is now
		Versions []uint64      `json:"versions"`
	}
	if err := cl.call(ctx, "POST", where("purge"), p.in, &out); err != nil {
		return err
	}
	return p.a.show(out, func(w io.Writer) {
		if len(out.Versions) == 0 {
			fmt.Fprintf(w, "There was no such %s; nothing was removed.\n", p.noun)
			return
		}
		fmt.Fprintf(w, "Removed %s of %s.\n", count(len(out.Versions), "earlier "+p.noun), of)
		fmt.Fprintln(w, "The vault's file may hold them, sealed, in free pages: zavhoz stop && zavhoz compact writes it without them. So do backups of before.")
	})
}

// purgeable is what of a version decides whether it goes.
type purgeable struct {
	Version   uint64    `json:"version"`
	UpdatedAt time.Time `json:"updated_at"`
}

// purged counts the versions that would go, by the rule of the vault: oldest first, up to the first that stays. history is newest first, the present one included.
func purged(history []purgeable, p api.Purge, now time.Time) (n int) {
	for i := len(history) - 1; i > 0; i-- {
		replaced := history[i-1].UpdatedAt
		if !p.All && history[i].Version >= p.Before && (p.OlderThanS == 0 || now.Sub(replaced) <= time.Duration(p.OlderThanS)*time.Second) {
			break
		}
		n++
	}
	return n
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

func newResourcePurge(a *app) *cobra.Command {
	p := &purging{a: a, noun: "version"}
	return p.register(&cobra.Command{
		Use: "purge HANDLE", Short: "Remove earlier versions of a resource for good", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Long: `Remove earlier versions of a resource for good; the present one stays. How many are kept without it is versions.keep in config.yaml. A value that is forgotten is no longer
masked in output: purge what works no more.` + purgeNote,
		Example: `  zavhoz resource purge openai_main --all
  zavhoz resource purge openai_main --before 7
  zavhoz resource purge openai_main --older-than 90d --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), plain(args[0]), func(more ...string) string { return path(append([]string{"resources", args[0]}, more...)...) })
		},
	})
}

func newSecretPurge(a *app) *cobra.Command {
	p := &purging{a: a, noun: "value"}
	return p.register(&cobra.Command{
		Use: "purge PROJECT NAME", Short: "Remove earlier values of a secret for good", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Long: `Remove earlier values of a project's secret for good; the present one stays. How many are kept without it is versions.keep in config.yaml. A value that is forgotten is no
longer masked in output: purge what works no more. project secret set --purge does it with the new value.` + purgeNote,
		Example: `  zavhoz project secret purge weather-bot OPENAI_API_KEY --all
  zavhoz project secret purge weather-bot OPENAI_API_KEY --before 7
  zavhoz project secret purge weather-bot OPENAI_API_KEY --older-than 90d --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.run(cmd.Context(), plain(args[1])+" of "+plain(args[0]), func(more ...string) string { return secretsPath(args[0], append([]string{args[1]}, more...)...) })
		},
	})
}
