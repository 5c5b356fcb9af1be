package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

// check is one thing that doctor looked at.
type check struct {
	Name string     `json:"name"`
	OK   bool       `json:"ok"`
	Note string     `json:"note,omitempty"`
	Next string     `json:"next,omitempty"`
	Code fault.Code `json:"code,omitempty"` // of what is broken
}

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check the installation: files, keys, the vault, the audit chain", Args: cobra.NoArgs,
		Long:    "Check the installation by doing: read the key file as the daemon would, ask the daemon, follow the audit chain. The exit code is that of the first thing found broken.",
		Example: "  zavhoz doctor\n  zavhoz doctor --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := a.examine(cmd.Context())
			err := a.show(map[string]any{"checks": checks, "isolation": string(isolation())}, func(w io.Writer) {
				for _, c := range checks {
					mark := "ok  "
					if !c.OK {
						mark = "BAD "
					}
					note := plain(c.Note)
					if !c.OK {
						note += " [" + string(c.Code) + "]"
					}
					fmt.Fprintf(w, "%s %-18s %s\n", mark, c.Name, note)
					if c.Next != "" {
						fmt.Fprintf(w, "     %-18s next: %s\n", "", c.Next)
					}
				}
			})
			for _, c := range checks {
				if !c.OK {
					return errors.Join(err, exitCode(c.Code.Of().Exit))
				}
			}
			return err
		},
	}
}

func (a *app) examine(ctx context.Context) (out []check) {
	add := func(name, note string, err error) bool {
		c := check{Name: name, OK: err == nil, Note: note}
		if err != nil {
			f := fault.Of(err)
			c.Note, c.Next, c.Code = f.Message, f.Next, f.Code
		}
		out = append(out, c)
		return c.OK
	}
	dir, err := a.dir()
	if err == nil {
		err = dir.Check()
	}
	if !add("home", dir.Path(), err) {
		return out
	}
	_, err = home.LoadIdentities(dir.Identity())
	if !add("identity", "readable by you alone", err) {
		return out
	}
	if _, err = home.LoadConfig(dir.Config()); !add("configuration", dir.Config(), err) {
		return out
	}
	if st, serr := os.Stat(dir.Log()); serr == nil {
		add("log", fmt.Sprintf("%s, %d bytes", dir.Log(), st.Size()), nil)
	}
	cl, err := a.client()
	if err != nil {
		add("daemon", "", err)
		return out
	}
	var s api.Status
	if err := cl.call(ctx, "GET", path("status"), nil, &s); !add("daemon", fmt.Sprintf("%s, pid %d, vault %s verified at its start", s.Version, s.PID, s.VaultID), err) {
		return out
	}
	var rep audit.Report
	err = cl.call(ctx, "POST", path("audit", "verify"), nil, &rep)
	add("audit chain", fmt.Sprintf("%d records hold", rep.Records), err)
	add("presence", presenceLine(s.Presence), nil)
	add("isolation", s.Isolation+": no confinement yet, so no command that a model chose starts: only pinned commands and ssh", nil)
	var syncErr error
	if s.Sync.Failing {
		syncErr = fault.New(fault.SyncIncomplete, syncLine(s.Sync), "see `zavhoz server sync`")
	}
	add("sync", syncLine(s.Sync), syncErr)
	return out
}
