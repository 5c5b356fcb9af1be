package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newResourceEdit(a *app) *cobra.Command {
	var f fieldFlags
	var status string
	var version uint64
	var pinKey, yes bool
	c := &cobra.Command{
		Use: "edit HANDLE", Short: "Change a resource; the version before is kept", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Long: "Change a resource; what is not named stays. --set name= and --label key= remove. The version before is kept (see history, rollback).",
		Example: `  zavhoz resource edit openai_main --secret key=@new-key.txt --why "yearly rotation"
  zavhoz resource edit prod_vps_1 --pin-host-key
  zavhoz resource edit old_bot --status disabled`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.fields(f)
			if err != nil {
				return err
			}
			defer in.wipe()
			if pinKey {
				if err := a.pinHostKey(cmd.Context(), args[0], in, yes); err != nil {
					return err
				}
			}
			body := in.body()
			defer wipeBody(body)
			if status != "" {
				body["status"] = status
			}
			if len(body) == 0 || len(body) == 1 && f.why != "" {
				return fault.New(fault.InvalidArgument, "nothing to change was named", "see `zavhoz resource edit --help`")
			}
			if version != 0 {
				body["if_version"] = version
			}
			return a.change(cmd.Context(), "PATCH", path("resources", args[0]), body, "Changed")
		},
	}
	f.register(a, c)
	c.Flags().StringVar(&status, "status", "", "active or disabled")
	c.Flags().Uint64Var(&version, "if-version", 0, "only if it is at this version")
	c.Flags().BoolVar(&pinKey, "pin-host-key", false, "servers: look at the host key now, show it, and pin it with your consent")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "with --pin-host-key: do not ask (trust on first use)")
	_ = c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{"active", "disabled"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// pinHostKey asks the server for its keys, shows their fingerprints and puts them into the edit when the person agrees.
func (a *app) pinHostKey(ctx context.Context, handle string, in *fields, yes bool) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var page api.Page[api.HostKey]
	if err := cl.call(ctx, "GET", path("resources", handle, "host-key"), nil, &page); err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return fault.New(fault.HostKeyUnknown, "the server offered no host key", "check that it runs sshd")
	}
	var keys []string
	for _, k := range page.Items {
		keys = append(keys, strings.TrimSpace(k.Key))
		note := ""
		if k.Pinned {
			note = "  (pinned now)"
		}
		a.hint("host key of %s: %s %s%s", handle, firstWord(k.Key), k.Fingerprint, note)
	}
	if !yes {
		if !a.person() {
			return fault.New(fault.HostKeyUnknown, "nobody is there to agree to the host key", "compare the fingerprint above with the server's, then give --yes")
		}
		if !a.askYes(ctx, "Is this the server's fingerprint?") {
			return fault.New(fault.Canceled, "the host key was not pinned", "")
		}
	}
	if in.attrs == nil {
		in.attrs = map[string]string{}
	}
	in.attrs["host_key"] = strings.Join(keys, "\n")
	return nil
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

// presenceLine says whether the operator's acts are guarded.
func presenceLine(set bool) string {
	if set {
		return "operator passphrase: set"
	}
	return fmt.Sprintf("operator passphrase: none; any program of your uid, an agent's shell too, can do what you can. Set one: %s", "zavhoz presence set")
}
