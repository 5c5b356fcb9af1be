package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the daemon's state", Args: cobra.NoArgs, Example: "  zavhoz status --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var s api.Status
			if err := cl.call(cmd.Context(), "GET", path("status"), nil, &s); err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) {
				fmt.Fprintf(w, "daemon %s, pid %d, up %s\n", s.Version, s.PID, ago(s.StartedAt))
				fmt.Fprintf(w, "store: %s\n", plain(dash(s.Store)))
				if s.Locked {
					fmt.Fprintf(w, "vault %s, locked: zavhoz unlock\n", s.VaultID)
					fmt.Fprintf(w, "http: %s\n", dash(s.Listen))
					fmt.Fprintln(w, plain(isolationLine(s.Isolation, s.Features)))
					return
				}
				fmt.Fprintf(w, "vault %s, %d leases, %d runs\n", s.VaultID, s.Leases, s.Runs)
				if s.Held > 0 {
					fmt.Fprintf(w, "held changes: %s (see zavhoz runs changes)\n", count(s.Held, "run"))
				}
				fmt.Fprintf(w, "http: %s\n", dash(s.Listen))
				fmt.Fprintln(w, plain(isolationLine(s.Isolation, s.Features)))
				fmt.Fprintln(w, presenceLine(s.Presence))
				fmt.Fprintln(w, syncLine(s.Sync))
				printReplicas(w, s.Replicas)
				printFiles(w, s.Files)
			})
		},
	}
}

// printReplicas lists the daemons that share the vault.
func printReplicas(w io.Writer, all []api.Replica) {
	for _, r := range all {
		note := ""
		switch {
		case r.Leads && r.Self:
			note = ", this one: it leads"
		case r.Leads:
			note = ", it leads"
		case r.Self:
			note = ", this one"
		}
		fmt.Fprintf(w, "daemon of this vault: %s on %s, pid %d, %s%s\n", r.ID, plain(r.Host), r.PID, plain(r.Version), note)
	}
}
