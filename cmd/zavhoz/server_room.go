package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newServerShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show SERVER", Short: "Show what is reserved of a server, observed on it and free", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.serverNames),
		Long: `Show one of the provider's servers: what leases reserve, what was observed, what is kept free, and what an agent can still get. A server that was added by hand has
ports alone: zavhoz server ports.`,
		Example: "  zavhoz server show prod_vps_1",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var s api.Server
			if err := cl.call(cmd.Context(), "GET", path("servers", args[0]), nil, &s); err != nil {
				return err
			}
			return a.show(s, func(w io.Writer) {
				fmt.Fprintf(w, "%s  %s  %s  managed %s  data age %s\n", dash(s.Handle), s.ID, plain(s.Status), managed(s), dataAge(s.AgeS))
				number := strconv.Itoa
				table(w, []string{"", "ALL", "RESERVED", "USED", "KEPT", "FREE"}, [][]string{
					{"memory MB", number(s.RAMMB), number(s.ReservedRAMMB), number(s.UsedRAMMB), number(s.KeptRAMMB), number(s.FreeRAMMB)},
					{"disk MB", number(s.DiskMB), number(s.ReservedDiskMB), number(s.UsedDiskMB), number(s.KeptDiskMB), number(s.FreeDiskMB)},
					{"cores", number(s.CPU), number(s.ReservedCPU), "-", number(s.KeptCPU), number(s.FreeCPU)},
				})
			})
		},
	}
}

func newServerPorts(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "ports HANDLE", Short: "Show which ports of a server are given, kept and held", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.serverHandles),
		Long: `Show where a free port is looked for, which may be asked for by number, which are never given, and which lease holds one. What listens on the server without a lease,
Zavhoz does not see: keep such ports with zavhoz server reserve.`,
		Example: "  zavhoz server ports prod_vps_1",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var p vault.ServerPorts
			if err := cl.call(cmd.Context(), "GET", path("servers", args[0], "ports"), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				next := "none"
				if p.Next > 0 {
					next = strconv.Itoa(p.Next)
				}
				fmt.Fprintf(w, "Any free one:  %s; the next is %s\nBy number:     %s\nNever:         %s\n", p.Free, next, p.Number, dash(p.Kept.String()))
				if len(p.Held) == 0 {
					fmt.Fprintln(w, "No lease holds a port.")
					return
				}
				var rows [][]string
				for _, h := range p.Held {
					rows = append(rows, []string{strconv.Itoa(h.Port), dash(h.Service), h.Agent, h.Project, h.Lease, span(time.Until(h.ExpiresAt)), h.Purpose})
				}
				table(w, []string{"PORT", "SERVICE", "AGENT", "PROJECT", "LEASE", "FOR", "PURPOSE"}, rows)
			})
		},
	}
}

func newServerReserve(a *app) *cobra.Command {
	var in api.Reserve
	var ram, disk, cpu int
	var ports string
	var every bool
	c := &cobra.Command{
		Use: "reserve [HANDLE]", Short: "Keep memory, disk, cores and ports of servers from agents", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeOne(false, a.serverHandles),
		Long: `Say what is kept of a server, or of all, for what does not come through Zavhoz: amounts that stay free, the ports that agents may get, and those that they never get. What
is said of one server goes before what is said of all, except for kept ports, which add up. Without flags it lists what is kept.

Built in are 256 MB of memory; ports 8000-29999 for any free one, and by number all but the well-known ones (1-1023) and those that Linux gives to outgoing connections
(32768-60999); never the port of the server's own ssh. Leases keep what they hold. Whatever may give agents more than before asks for the operator's passphrase where one is set.`,
		Example: `  zavhoz server reserve --all --ram-mb 512
  zavhoz server reserve prod_vps_1 --keep 8080,9090-9099
  zavhoz server reserve prod_vps_1 --ports 443,8000-8999 --free 8080
  zavhoz server reserve prod_vps_1 --reset`,
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			said := false
			for _, name := range []string{"ram-mb", "disk-mb", "cpu", "ports", "keep", "free", "reset"} {
				said = said || changed(name)
			}
			switch {
			case !said && !every && len(args) == 0:
				return a.listReserves(cmd.Context())
			case !said:
				return fault.New(fault.InvalidArgument, "nothing is to be changed", "say what to keep: `zavhoz server reserve --help`")
			case every == (len(args) == 1):
				return fault.New(fault.InvalidArgument, "name one server, or give --all", "`zavhoz server list` shows them")
			}
			for name, x := range map[string]struct {
				to   **int
				from *int
			}{"ram-mb": {&in.RAMMB, &ram}, "disk-mb": {&in.DiskMB, &disk}, "cpu": {&in.CPU, &cpu}} {
				if changed(name) {
					*x.to = x.from
				}
			}
			if changed("ports") {
				in.Ports = &ports
			}
			where := path("reserves")
			if !every {
				where = path("servers", args[0], "reserve")
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			var r vault.NamedReserve
			if err := cl.call(cmd.Context(), "POST", where, in, &r.Reserve); err != nil {
				return err
			}
			if !every {
				r.Handle = args[0]
			}
			return a.show(r, func(w io.Writer) { printReserves(w, []vault.NamedReserve{r}) })
		},
	}
	fl := c.Flags()
	fl.BoolVar(&every, "all", false, "of all servers")
	fl.IntVar(&ram, "ram-mb", 0, "memory that stays free, in MB")
	fl.IntVar(&disk, "disk-mb", 0, "disk that stays free, in MB")
	fl.IntVar(&cpu, "cpu", 0, "cores that stay free")
	fl.StringVar(&ports, "ports", "", `ports that agents may get, as in 443,8000-8999; "" for what is built in`)
	fl.StringVar(&in.Keep, "keep", "", "ports that they never get, besides those kept already")
	fl.StringVar(&in.Free, "free", "", "ports that are no longer kept")
	fl.BoolVar(&in.Reset, "reset", false, "first forget all that was said of this server, or of all")
	return c
}

func (a *app) listReserves(ctx context.Context) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var list api.Page[vault.NamedReserve]
	if err := cl.call(ctx, "GET", path("reserves"), nil, &list); err != nil {
		return err
	}
	return a.show(list, func(w io.Writer) {
		if len(list.Items) == 0 {
			fmt.Fprintln(w, "Nothing is kept besides what is built in: zavhoz server reserve --help")
			return
		}
		printReserves(w, list.Items)
	})
}

func printReserves(w io.Writer, list []vault.NamedReserve) {
	amount := func(n *int) string {
		if n == nil {
			return "-"
		}
		return strconv.Itoa(*n)
	}
	var rows [][]string
	for _, r := range list {
		name := r.Handle
		if name == "" {
			name = "(all)"
		}
		rows = append(rows, []string{name, amount(r.RAMMB), amount(r.DiskMB), amount(r.CPU), dash(r.Ports.String()), dash(r.KeptPorts.String())})
	}
	table(w, []string{"SERVER", "RAM MB", "DISK MB", "CPU", "PORTS GIVEN", "PORTS KEPT"}, rows)
}

// serverHandles lists the resources that are servers, by handle: adopted ones and those added by hand.
func (a *app) serverHandles(ctx context.Context) ([]string, error) {
	all, err := a.resources(ctx, vault.Filter{Kind: "server"})
	var out []string
	for _, r := range all {
		out = append(out, r.Handle)
	}
	return out, err
}
