package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newAudit(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "audit", Short: "The record of who did what: list, verify, export"})
	c.AddCommand(newAuditList(a), newAuditVerify(a), newAuditExport(a))
	return c
}

func newAuditList(a *app) *cobra.Command {
	var actor, action, handle, outcome, since string
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List records, newest first", Args: cobra.NoArgs, Aliases: []string{"ls"},
		Example: "  zavhoz audit list --outcome denied --since 24h\n  zavhoz audit list --handle prod_vps_1 --limit 100 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for k, v := range map[string]string{"actor": actor, "action": action, "handle": handle, "outcome": outcome, "since": sinceTime(since, time.Now())} {
				if v != "" {
					q.Set(k, v)
				}
			}
			var page api.Page[audit.Record]
			if err := cl.call(cmd.Context(), "GET", path("audit")+"?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, r := range page.Items {
					rows = append(rows, []string{fmt.Sprint(r.Seq), r.Time.Local().Format("2006-01-02 15:04:05"), r.Actor.Name, dash(r.Actor.Door), string(r.Action), string(r.Outcome), dash(r.Handle), dash(r.Code), dash(inShort(r))})
				}
				table(w, []string{"SEQ", "WHEN", "WHO", "DOOR", "ACTION", "OUTCOME", "HANDLE", "CODE", "DETAIL"}, rows)
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&actor, "actor", "", "only this actor's")
	fl.StringVar(&action, "action", "", "only this action, e.g. run.start")
	fl.StringVar(&handle, "handle", "", "only of this handle")
	fl.StringVar(&outcome, "outcome", "", "allowed, denied or failed")
	fl.StringVar(&since, "since", "", "not before this time (RFC 3339), or no longer ago than this (24h)")
	fl.IntVar(&limit, "limit", 50, "at most this many")
	return c
}

// sinceTime turns a duration into the time that long ago; what is none is left to the daemon to judge.
func sinceTime(s string, now time.Time) string {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d).UTC().Format(time.RFC3339)
	}
	return s
}

// maxDetail is the longest detail in the table, in characters; --json has it whole.
const (
	maxDetail = 80
	maxWord   = 40 // of one value in it
)

// inShort is what a record holds besides, in one line.
func inShort(r audit.Record) string {
	if strings.HasPrefix(string(r.Action), "egress.") {
		return wayOut(r)
	}
	head, _, _ := strings.Cut(string(r.Action), ".")
	if !slices.Contains([]string{"key", "vault", "resource", "presence", "rotation", "file", "approval"}, head) {
		return ""
	}
	var words []string
	if (head == "key" || head == "approval") && r.Subject != "" { // a slot, or a data key; a request
		words = append(words, r.Subject)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Detail)) {
		if v := r.Detail[k]; v != "" {
			words = append(words, k+"="+shortened(v, maxWord))
		}
	}
	return shortened(strings.Join(words, " "), maxDetail)
}

// wayOut tells in one line where a run went: the host, the method and the status of a request, what was asked of a server, what happened at a database.
func wayOut(r audit.Record) string {
	var words []string
	for _, k := range []string{"method", "host", "status", "event", "what", "command", "target"} {
		v := r.Detail[k]
		if k == "host" && v != "" && r.Detail["port"] != "443" {
			v += ":" + r.Detail["port"]
		}
		if v != "" {
			words = append(words, v)
		}
	}
	return shortened(strings.Join(words, " "), maxDetail)
}

func newAuditVerify(a *app) *cobra.Command {
	var file, key string
	c := &cobra.Command{
		Use: "verify", Short: "Find any change, removal or insertion", Args: cobra.NoArgs,
		Long: "Verify the vault's own audit chain, or with --file an export, offline. An export carries its key; give the vault's key (see `zavhoz audit export --json`) to know whose it is.",
		Example: `  zavhoz audit verify
  zavhoz audit verify --file audit.jsonl --key 3b6a27bc…`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				return a.verifyExport(file, key)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			done := a.working("Following the chain")
			var rep audit.Report
			err = cl.call(cmd.Context(), "POST", path("audit", "verify"), nil, &rep)
			done()
			if err != nil {
				return err
			}
			return a.showReport(rep)
		},
	}
	c.Flags().StringVar(&file, "file", "", "an export to verify")
	c.Flags().StringVar(&key, "key", "", "the vault's audit key (hex): the export must be signed with it")
	return c
}

func (a *app) verifyExport(file, key string) error {
	f, err := os.Open(file)
	if err != nil {
		return fault.New(fault.InvalidArgument, "the export cannot be read", "check its name").Because(err)
	}
	defer f.Close()
	pub, err := auditKey(key)
	if err != nil {
		return err
	}
	rep, err := audit.VerifyExport(f, pub)
	if err != nil {
		return err
	}
	if pub == nil {
		a.hint("The export was checked against the key that it carries itself; give --key to know that it is your vault's.")
	}
	return a.showReport(rep)
}

func (a *app) showReport(rep audit.Report) error {
	return a.show(rep, func(w io.Writer) { fmt.Fprintf(w, "The audit chain holds: %d records.\n", rep.Records) })
}

func newAuditExport(a *app) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "export", Short: "Write the audit log as JSON lines, signed", Args: cobra.NoArgs, Example: "  zavhoz audit export > audit.jsonl\n  zavhoz audit export --out audit.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			w := a.stdout
			if out != "" {
				f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err != nil {
					return fault.New(fault.InvalidArgument, "the file cannot be made, or exists already", "choose another name").Because(err)
				}
				defer f.Close()
				w = f
			}
			return cl.call(cmd.Context(), "GET", path("audit", "export"), nil, w)
		},
	}
	c.Flags().StringVar(&out, "out", "", "write to this new file")
	return c
}
