package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newSOPS(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "sops", Short: "SOPS files that are the home of resources"})
	c.AddCommand(newSOPSAccept(a))
	return c
}

func newSOPSAccept(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "accept FILE", ValidArgsFunction: completeOne(false, a.shrunkFiles), Short: "Say that what a SOPS file lost at once is meant to be gone", Args: cobra.ExactArgs(1),
		Long: `Say that what a SOPS file lost at once is meant to be gone. A file that is the home of resources and loses all of them, or more than half and more than three, is not believed
for ten minutes: everything stays in force, and ` + "`zavhoz status`" + ` says so (sync_shrunk). This believes it now: those resources cannot be used any more, and their leases end. Put back into
the file they are what they were. It asks for the operator's passphrase where one is set. FILE is the last part of its path.`,
		Example: "  zavhoz sops accept secrets.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			all, err := a.secretFiles(cmd.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(f api.SecretFile) bool { return f.Name == args[0] })
			in := api.AcceptLoss{}
			switch {
			case i < 0: // the daemon says what is wrong
			case all[i].Lost == nil:
				return fault.New(fault.InvalidArgument, "nothing that the file lost is held back", "`zavhoz status` shows how the files stand")
			default:
				in.Absent = all[i].Lost.Absent
				question := fmt.Sprintf("%s lost %d of %d resources. End them, and their leases?", plain(args[0]), in.Absent, all[i].Lost.Known)
				if err := a.agreed(cmd.Context(), sure, question); err != nil {
					return err
				}
			}
			var f api.SecretFile
			if err := cl.call(cmd.Context(), "POST", path("files", args[0], "accept"), in, &f); err != nil {
				return err
			}
			return a.show(f, func(w io.Writer) { printFiles(w, []api.SecretFile{f}) })
		},
	}
	sure.register(c)
	return c
}

// secretFiles tells how the files stand.
func (a *app) secretFiles(ctx context.Context) ([]api.SecretFile, error) {
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	var s api.Status
	err = cl.call(ctx, "GET", path("status"), nil, &s)
	return s.Files, err
}

// shrunkFiles lists the files that lost more than is believed.
func (a *app) shrunkFiles(ctx context.Context) (out []string, err error) {
	all, err := a.secretFiles(ctx)
	for _, f := range all {
		if f.Lost != nil {
			out = append(out, f.Name)
		}
	}
	return out, err
}
