package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/exporter"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/web/api"
)

// exports lets the API encrypt resources for recipients.
type exports struct{ x *exporter.Exporter }

func newExports(v *vault.Vault, opener *open.Opener) exports {
	return exports{exporter.New(exporter.Options{Vault: v, Opener: opener, Codec: sops.New(sops.Options{}), Recipients: backup.Parse})}
}

// Export gives ciphertext.
func (e exports) Export(ctx context.Context, actor vault.Actor, in api.Export) (api.Exported, error) {
	out, err := e.x.Export(ctx, actor, exporter.Request{Refs: in.Handles, To: in.To, Format: exporter.Format(in.Format)})
	return api.Exported{File: out.File, Handles: out.Handles}, err
}

// exported is what export tells.
type exported struct {
	File    string   `json:"file"` // "-": standard output
	Format  string   `json:"format"`
	Handles []string `json:"handles"`
	To      []string `json:"to"`
}

func newExport(a *app) *cobra.Command {
	var to []string
	var format, out string
	c := &cobra.Command{
		Use: "export HANDLE…", Short: "Write resources into a file that only recipients can open", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeOne(true, a.handles),
		Long: `Write resources, with their values, into a new file that is encrypted to recipients: a SOPS file, which ` + "`sops`" + ` reads with their identity, or an age file. There is no
export in clear. It reveals, so it asks for the operator's passphrase where one is set, and each resource is on record before a byte of it leaves.

sops-yaml, sops-json and age-json hold everything but rules: kinds, attributes, labels and values; ` + "`zavhoz import`" + ` makes the same resources of them in another vault.
sops-dotenv and sops-ini hold the variables that resources of one project fill. Policies, grants, versions and counts of uses stay here.`,
		Example: `  zavhoz export weather_bot openai_main --to age1… --out team.sops.yaml
  zavhoz export openai_main --to age1… --format sops-dotenv > .env.sops
  zavhoz export prod_vps_1 --to age1… --to 'ssh-ed25519 AAAA…' --format age-json --out box.json.age`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.export(cmd.Context(), api.Export{Handles: args, To: to, Format: format}, out)
		},
	}
	c.Flags().StringSliceVar(&to, "to", nil, "a public key that may open it: age1…, or a line of an ssh .pub file; may be given again")
	c.Flags().StringVar(&format, "format", string(exporter.SOPSYAML), "sops-yaml, sops-json, sops-dotenv, sops-ini or age-json")
	c.Flags().StringVar(&out, "out", "-", "the new file, 0600; - is standard output")
	_ = c.MarkFlagRequired("to")
	completeWords(c, "format", exporter.Formats())
	return c
}

// completeWords completes a flag with the words that it may have.
func completeWords[T ~string](c *cobra.Command, flag string, words []T) {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) export(ctx context.Context, in api.Export, out string) error {
	if out != "-" {
		if _, err := os.Lstat(out); err == nil { // before anything is revealed; WriteNew holds the last word
			return fault.New(fault.NameTaken, "there is a file of that name already; nothing was exported", "name another")
		}
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	done := a.working("Exporting")
	var got api.Exported
	err = cl.call(ctx, "POST", path("export"), in, &got)
	if done(); err != nil {
		return err
	}
	told := exported{File: out, Format: in.Format, Handles: got.Handles, To: in.To}
	text := func(w io.Writer) {
		where := plain(out)
		if out == "-" {
			where = "standard output"
		}
		fmt.Fprintf(w, "Wrote %s to %s, as %s for %s.\n", count(len(got.Handles), "resource"), where, in.Format, count(len(in.To), "recipient"))
	}
	if out != "-" {
		if err := sops.WriteNew(out, got.File); err != nil {
			return err
		}
		return a.show(told, text)
	}
	if _, err := a.stdout.Write(got.File); err != nil {
		return cannotWrite(err)
	}
	if a.json {
		writeJSON(a.stderr, told)
	} else {
		text(a.stderr)
	}
	return nil
}
