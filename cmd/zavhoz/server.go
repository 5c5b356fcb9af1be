package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newServer(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "server", Short: "Servers: list, sync, adopt, manage, ports, reserve", Aliases: []string{"servers"}})
	c.AddCommand(newServerList(a), newServerShow(a), newServerPorts(a), newServerReserve(a), newServerSync(a), newServerAdopt(a), newServerManage(a, "manage", "yes", "Let agents see a server"),
		newServerManage(a, "unmanage", "no", "Hide a server from agents"))
	return c
}

func newServerList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the provider's servers", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz server list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var list api.Servers
			if err := cl.call(cmd.Context(), "GET", path("servers"), nil, &list); err != nil {
				return err
			}
			a.hint("%s", syncLine(list.Sync))
			return a.show(list, func(w io.Writer) {
				var rows [][]string
				for _, s := range list.Items {
					rows = append(rows, []string{s.ID, dash(s.Handle), s.Provider + ":" + s.ProviderID, s.Status, managed(s),
						fmt.Sprintf("%d/%d", s.FreeCPU, s.CPU), fmt.Sprintf("%d/%d", s.FreeRAMMB, s.RAMMB), fmt.Sprint(s.ReservedRAMMB), fmt.Sprint(s.UsedRAMMB),
						fmt.Sprintf("%d/%d", s.FreeDiskMB, s.DiskMB), fmt.Sprint(s.ReservedDiskMB), fmt.Sprint(s.UsedDiskMB), dataAge(s.AgeS)})
				}
				table(w, []string{"SERVER", "HANDLE", "PROVIDER", "STATUS", "MANAGED", "FREE/CPU", "FREE/RAM MB", "RESERVED", "USED", "FREE/DISK MB", "RESERVED", "USED", "DATA AGE"}, rows)
			})
		},
	}
}

func managed(s api.Server) string {
	switch {
	case s.Ghost:
		return "ghost"
	case s.IsManaged:
		return "yes"
	}
	return "no"
}

func dataAge(s *int64) string {
	if s == nil {
		return "-"
	}
	return span(time.Duration(*s) * time.Second)
}

func syncLine(s api.SyncInfo) string {
	switch {
	case !s.Configured:
		return "sync: no provider is configured (see sync: in config.yaml)"
	case s.Failing:
		return fmt.Sprintf("sync: FAILING (%s, %d times); the data is from %s", s.Code, s.Failures, ago(s.LastSuccess))
	}
	return "sync: the data is from " + ago(s.LastSuccess)
}

func newServerSync(a *app) *cobra.Command {
	var confirm bool
	c := &cobra.Command{
		Use: "sync", Short: "Run a sync cycle now and show what it found", Args: cobra.NoArgs,
		Long: `Run a sync cycle now, or join the one under way, and show what it found. When the provider's list lost many servers at once, sync does not believe it
for ten cycles; --confirm-shrunk says that they are really gone.`,
		Example: "  zavhoz server sync --json\n  zavhoz server sync --confirm-shrunk",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			where := path("servers", "sync")
			if confirm {
				where += "?confirm_shrunk=true"
			}
			done := a.working("Asking the provider")
			defer done()
			var report json.RawMessage
			if err := cl.call(cmd.Context(), "POST", where, nil, &report); err != nil {
				return err
			}
			done()
			return a.show(report, func(w io.Writer) { printReport(w, report) })
		},
	}
	c.Flags().BoolVar(&confirm, "confirm-shrunk", false, "the servers that vanished at once are really gone")
	return c
}

func newServerAdopt(a *app) *cobra.Command {
	var f fieldFlags
	c := &cobra.Command{
		Use: "adopt SERVER HANDLE", ValidArgsFunction: completeOne(false, a.serverNames), Short: "Make a discovered server a resource that agents can use", Args: cobra.ExactArgs(2),
		Example: "  zavhoz server adopt srv_… prod_vps_1 --set user=deploy --secret ssh_key=@id_ed25519",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.fields(f)
			if err != nil {
				return err
			}
			defer in.wipe()
			body := in.body()
			defer wipeBody(body)
			delete(body, "why")
			body["handle"] = args[1]
			return a.add(cmd.Context(), path("servers", args[0], "adopt"), body)
		},
	}
	f.register(a, c)
	return c
}

func newServerManage(a *app, name, intent, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " SERVER", ValidArgsFunction: completeOne(false, a.serverNames), Short: short, Args: cobra.ExactArgs(1), Example: "  zavhoz server " + name + " prod_vps_1",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var s api.Server
			if err := cl.call(cmd.Context(), "POST", path("servers", args[0], "manage"), api.Manage{Intent: intent}, &s); err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) { fmt.Fprintf(w, "%s: managed %s.\n", s.ID, managed(s)) })
		},
	}
}
