package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/web/api"
)

func newKey(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "key", Short: "Who can open the vault: recipients, and the data key itself", Aliases: []string{"keys"}})
	c.AddCommand(newKeyList(a), newKeyAdd(a), newKeyRemove(a), newKeyRotate(a), newKeyCheck(a), newKeyPlugin(a), newKeyKeychain(a))
	return c
}

func newKeyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the slots: who can open the vault, and since when", Args: cobra.NoArgs,
		Long: `List the slots of the vault. Each holds the data key, wrapped for one recipient: an age recipient, an SSH key, a plugin's, or a passphrase. It also says how far a
rotation is that is under way, and warns where one slot is weaker than the others.`,
		Example: "  zavhoz key list\n  zavhoz key list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keys(cmd.Context())
			if err != nil {
				return err
			}
			err = a.show(k, func(w io.Writer) { printKeys(w, k) })
			for _, text := range k.Warnings {
				a.hint("Warning: %s.", text)
			}
			return err
		},
	}
}

func printKeys(w io.Writer, k api.Keys) {
	rows := make([][]string, len(k.Slots))
	for i, s := range k.Slots {
		label := dash(s.Label)
		if s.Unlocks {
			label += " *"
		}
		rows[i] = []string{s.ID, label, s.Type, yesNo(s.PostQuantum), s.Since.Format(time.DateOnly), dash(clip(s.Recipient, 72))}
	}
	table(w, []string{"SLOT", "LABEL", "TYPE", "POST-QUANTUM", "SINCE", "RECIPIENT"}, rows)
	fmt.Fprintf(w, "* unlocked this daemon. The data key %s is of %s.\n", k.Key, k.KeySince.Format(time.DateOnly))
	if r := k.Rotation; r != nil {
		fmt.Fprintf(w, "A rotation is under way since %s: %s.\n", ago(r.BegunAt), rotationLine(*r))
		if r.Code != "" {
			fmt.Fprintf(w, "It does not get on: %s [%s]\n", plain(r.Message), r.Code)
		}
	}
}

// rotationLine says how far a rotation is.
func rotationLine(r api.Rotation) string {
	if r.Done >= r.Total {
		return fmt.Sprintf("%d records are sealed anew, looking for what came in between", r.Done)
	}
	return fmt.Sprintf("%d of %d records are sealed anew", r.Done, r.Total)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// clip shortens a text for a table.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most-1] + "…"
}

// keys asks the daemon for the slots.
func (a *app) keys(ctx context.Context) (k api.Keys, err error) {
	cl, err := a.client()
	if err != nil {
		return k, err
	}
	err = cl.call(ctx, "GET", path("keys"), nil, &k)
	return k, err
}

// slotNames completes slots, by label where they have one.
func (a *app) slotNames(ctx context.Context) ([]string, error) {
	k, err := a.keys(ctx)
	var out []string
	for _, s := range k.Slots {
		name := s.Label
		if name == "" {
			name = s.ID
		}
		out = append(out, cobra.CompletionWithDesc(name, s.Type))
	}
	return out, err
}

func newKeyRemove(a *app) *cobra.Command {
	var sure consent
	var force bool
	c := &cobra.Command{
		Use: "remove SLOT", Short: "Take a recipient's slot away", Args: cobra.ExactArgs(1), Aliases: []string{"rm"}, ValidArgsFunction: completeOne(false, a.slotNames),
		Long: `Take a slot away, by its id, label or recipient: that recipient's identity opens the vault no more. The last slot stays, and the one that this daemon unlocked the
vault by goes with --force only. It asks for the operator's passphrase where one is set.

Who had the identity may have kept the data key, or an older copy of the vault. ` + "`zavhoz key rotate`" + ` makes a new data key, and locks them out of all that is written from then on;
values that they may have read are to be replaced where they are used.`,
		Example: "  zavhoz key remove old-laptop --yes\n  zavhoz key remove 3fa91c20",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.agreed(cmd.Context(), sure, "Take the slot "+plain(clip(args[0], 72))+" away?"); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			at := path("keys", args[0])
			if force {
				at += "?force=true"
			}
			var s api.Slot
			if err := cl.call(cmd.Context(), "DELETE", at, nil, &s); err != nil {
				return err
			}
			a.hint("Who had its identity may have kept the data key: `zavhoz key rotate` makes a new one.")
			return a.show(s, func(w io.Writer) { fmt.Fprintf(w, "Removed the slot %s.\n", plain(slotName(s))) })
		},
	}
	sure.register(c)
	c.Flags().BoolVar(&force, "force", false, "also the slot that this daemon unlocked the vault by: its next start needs another identity")
	return c
}

func slotName(s api.Slot) string {
	if s.Label != "" {
		return s.Label + " (" + s.ID + ")"
	}
	return s.ID
}
