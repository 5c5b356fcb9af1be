package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

func newStop(a *app) *cobra.Command {
	var discard bool
	c := &cobra.Command{
		Use: "stop", Short: "Stop the daemon; the next call starts another", Args: cobra.NoArgs,
		Long: "Stop the daemon and wait until it has let go of the vault. Runs under way are ended; what was acknowledged is kept. The next call starts another. " +
			"What runs wrote beside overlaid folders is held on; where the file system of the vault's folder cannot hold it, it goes with the daemon, which then stops only with --discard.",
		Example: "  zavhoz stop\n  zavhoz stop --discard",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			if err := dir.Check(); err != nil {
				return err
			}
			stopped, err := stopDaemon(cmd.Context(), dir, discard)
			if err != nil {
				return err
			}
			return a.show(map[string]bool{"stopped": stopped}, func(w io.Writer) {
				if stopped {
					fmt.Fprintln(w, "Stopped.")
				} else {
					fmt.Fprintln(w, "No daemon runs.")
				}
			})
		},
	}
	c.Flags().BoolVar(&discard, "discard", false, "lose held changes that cannot outlive the daemon (zavhoz runs changes says so of them)")
	return c
}

// nothingHeld refuses where changes would be lost. A daemon that cannot tell holds none, or is too broken to be kept running.
func nothingHeld(ctx context.Context, cl *client) error {
	var page api.Page[api.HeldChanges]
	if err := cl.call(ctx, "GET", path("changes"), nil, &page); err != nil {
		return ctx.Err()
	}
	lost := 0
	for _, h := range page.Items {
		if !h.Lasting {
			lost++
		}
	}
	if lost == 0 {
		return ctx.Err()
	}
	return fault.New(fault.Busy, "the changes of "+count(lost, "run")+" are held, and would be lost",
		"look at them: zavhoz runs changes; keep or discard each; or lose them all: zavhoz stop --discard")
}

// stopDaemon asks the daemon to end and waits until the vault is free; false where none runs. It starts none.
func stopDaemon(ctx context.Context, dir home.Dir, discard bool) (bool, error) {
	c, err := dialSocket(ctx, dir.OperatorSock())
	if err != nil {
		return false, nil
	}
	c.Close()
	cl := newClient(plainDial(dir.OperatorSock()))
	if !discard {
		if err := nothingHeld(ctx, cl); err != nil {
			return false, err
		}
	}
	if err := cl.call(ctx, "POST", path("daemon", "stop"), nil, nil); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(2 * stopGrace); held(dir.Holder()); {
		if time.Now().After(deadline) {
			return false, fault.New(fault.TimedOut, "the daemon was told to end and is still at work", "see the end of its log: `zavhoz doctor` names the file")
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}
