package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

func newStop(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Stop the daemon; the next call starts another", Args: cobra.NoArgs,
		Long:    "Stop the daemon and wait until it has let go of the vault. Runs under way are ended; what was acknowledged is kept. The next call starts another.",
		Example: "  zavhoz stop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			if err := dir.Check(); err != nil {
				return err
			}
			stopped, err := stopDaemon(cmd.Context(), dir)
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
}

// stopDaemon asks the daemon to end and waits until the vault is free; false where none runs. It starts none.
func stopDaemon(ctx context.Context, dir home.Dir) (bool, error) {
	c, err := dialSocket(ctx, dir.OperatorSock())
	if err != nil {
		return false, nil
	}
	c.Close()
	cl := newClient(plainDial(dir.OperatorSock()))
	if err := cl.call(ctx, "POST", path("daemon", "stop"), nil, nil); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(2 * stopGrace); held(dir.Vault()); {
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
