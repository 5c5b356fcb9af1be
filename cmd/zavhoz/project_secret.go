package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func newProjectSecret(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "secret", Short: "Secrets of a project: given, listed, removed; never shown", Aliases: []string{"secrets"}})
	c.AddCommand(newSecretSet(a), newSecretList(a), newSecretRemove(a), newSecretHistory(a), newSecretRollback(a), newSecretPurge(a))
	return c
}

// secretsPath is where a project's secrets are.
func secretsPath(project string, more ...string) string {
	return path(append([]string{"projects", project, "config", "secrets"}, more...)...)
}

func newSecretSet(a *app) *cobra.Command {
	var hints []string
	var typ, why, from string
	var absent, purge bool
	c := &cobra.Command{
		Use: "set PROJECT NAME=-|NAME=@FILE…", Short: "Give a project secrets: all of them, or none", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Long: `Give a project secrets. Values come on standard input (NAME=-) or from files (NAME=@FILE), never in arguments; many at once as a JSON object with
--secrets. Names that are not given stay as they are. A bot's token is known by its shape: its format is checked, and Telegram is asked whether it is good, where it can be.

PROJECT is a slug or an id.`,
		Example: `  printf %s "$KEY" | zavhoz project secret set weather-bot OPENAI_API_KEY=-
  zavhoz project secret set weather-bot TELEGRAM_BOT_TOKEN=@token.txt --hint TELEGRAM_BOT_TOKEN="from @BotFather"
  zavhoz project secret set weather-bot --secrets @secrets.json --if-absent`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.secretsGiven(args[1:], from)
			if err != nil {
				return err
			}
			defer func() {
				for _, s := range in {
					s.Wipe()
				}
			}()
			words, err := keyValues("--hint", hints)
			if err != nil {
				return err
			}
			body := map[string]any{"secrets": asJSON(in), "env_hints": words, "if_absent": absent, "why": why}
			defer wipeBody(body)
			if purge {
				body["purge"] = true
			}
			if typ != "" {
				types := map[string]string{}
				for name := range in {
					types[name] = typ
				}
				body["types"] = types
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.Merged
			if err := cl.call(cmd.Context(), "POST", secretsPath(args[0]), body, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { saidMerged(w, args[0], in, out) })
		},
	}
	c.Flags().StringArrayVar(&hints, "hint", nil, "what a secret is, in words, NAME=TEXT; models read it")
	c.Flags().StringVar(&typ, "type", "", "user (a person gives it), infra (generated once) or computed; default: as it is, and of a new one user")
	c.Flags().StringVar(&from, "secrets", "", "secrets as one JSON object from - (standard input) or @FILE")
	c.Flags().StringVar(&why, "why", "", "the reason, for the history")
	c.Flags().BoolVar(&absent, "if-absent", false, "names that are there stay as they are")
	c.Flags().BoolVar(&purge, "purge", false, "forget the values that it replaces, with all before them: for what works no more")
	_ = c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{"user", "infra", "computed"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func asJSON(in map[string]secret.Secret) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(in))
	for name, s := range in {
		out[name] = api.Quote(s)
	}
	return out
}

func saidMerged(w io.Writer, project string, in map[string]secret.Secret, out api.Merged) {
	fmt.Fprintf(w, "%s has %s now: %s.\n", plain(project), count(len(out.Keys), "secret"), strings.Join(out.Keys, ", "))
	if len(out.Existed) > 0 {
		fmt.Fprintf(w, "There already, and as they were: %s.\n", strings.Join(out.Existed, ", "))
	}
	for _, name := range out.Unverified {
		if _, given := in[name]; given {
			fmt.Fprintf(w, "%s is a bot's token by its form; Telegram could not be asked whether it is good.\n", name)
		}
	}
}

// secretsGiven reads NAME=- and NAME=@FILE, and a JSON object. It refuses a value in argv without repeating it.
func (a *app) secretsGiven(args []string, from string) (map[string]secret.Secret, error) {
	f, err := a.fields(fieldFlags{secrets: args, secretsFrom: from})
	if err != nil {
		return nil, err
	}
	if len(f.secrets) == 0 {
		return nil, fault.New(fault.SecretMissing, "no secret is named", "give NAME=- with its value on standard input, NAME=@FILE, or --secrets @FILE")
	}
	return f.secrets, nil
}

func newSecretList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list PROJECT", Short: "List a project's secrets: what is known of each, no value", Args: cobra.ExactArgs(1), Aliases: []string{"ls"}, ValidArgsFunction: completeOne(false, a.projectSlugs),
		Example: "  zavhoz project secret list weather-bot",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.ProjectSecret]
			if err := cl.call(cmd.Context(), "GET", secretsPath(args[0]), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, s := range page.Items {
					state := s.Length
					if !s.Filled {
						state = "missing"
					}
					if s.Check != "" {
						state += ", " + s.Check
					}
					rows = append(rows, []string{s.Name, dash(s.Type), state, dash(s.UpdatedBy), ago(s.UpdatedAt), dash(s.Hint)})
				}
				table(w, []string{"NAME", "TYPE", "VALUE", "BY", "GIVEN", "HINT"}, rows)
			})
		},
	}
}

func newSecretRemove(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "rm PROJECT NAME", Short: "Remove a secret of a project, with its hint and its history", Args: cobra.ExactArgs(2), Aliases: []string{"remove"}, ValidArgsFunction: completeOne(false, a.projectSlugs),
		Example: "  zavhoz project secret rm weather-bot OPENAI_API_KEY --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.agreed(cmd.Context(), sure, "Remove "+plain(args[1])+" of "+plain(args[0])+" for good, with its history?"); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.SecretKeys
			if err := cl.call(cmd.Context(), "DELETE", secretsPath(args[0], args[1]), nil, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { fmt.Fprintf(w, "Removed %s of %s.\n", plain(args[1]), plain(args[0])) })
		},
	}
	sure.register(c)
	return c
}

func newSecretHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "history PROJECT NAME", Short: "List the versions of a secret that are kept", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Example: "  zavhoz project secret history weather-bot OPENAI_API_KEY",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var page api.Page[api.SecretVersion]
			if err := cl.call(cmd.Context(), "GET", secretsPath(args[0], args[1], "history"), nil, &page); err != nil {
				return err
			}
			return a.show(page, func(w io.Writer) {
				var rows [][]string
				for _, v := range page.Items {
					rows = append(rows, []string{fmt.Sprint(v.Version), v.Length, v.UpdatedBy, ago(v.UpdatedAt), dash(v.Why)})
				}
				table(w, []string{"VERSION", "VALUE", "BY", "GIVEN", "WHY"}, rows)
			})
		},
	}
}

func newSecretRollback(a *app) *cobra.Command {
	var in api.RollbackSecret
	c := &cobra.Command{
		Use: "rollback PROJECT NAME --to VERSION", Short: "Make an earlier value of a secret present again, as a new version", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Example: "  zavhoz project secret rollback weather-bot OPENAI_API_KEY --to 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.SecretVersion
			if err := cl.call(cmd.Context(), "POST", secretsPath(args[0], args[1], "rollback"), in, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s of %s has the value of version %d again, as version %d.\n", plain(args[1]), plain(args[0]), in.Version, out.Version)
			})
		},
	}
	c.Flags().Uint64Var(&in.Version, "to", 0, "the version whose value becomes present")
	c.Flags().StringVar(&in.Why, "why", "", "the reason, for the history")
	_ = c.MarkFlagRequired("to")
	return c
}

func newProjectShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show PROJECT", Short: "Show a project: its config, the names of its secrets", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Example: "  zavhoz project show weather-bot",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			var p api.ProjectView
			if err := cl.call(cmd.Context(), "GET", path("projects", args[0]), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				rows := [][]string{{"slug", p.Slug}, {"id", p.ID}, {"title", dash(p.Title)}, {"made", ago(p.CreatedAt)}, {"secrets", dash(strings.Join(p.Keys, ", "))}}
				if p.FormerID != "" {
					rows = append(rows, []string{"former id", p.FormerID})
				}
				keys := make([]string, 0, len(p.Config))
				for key := range p.Config {
					keys = append(keys, key)
				}
				slices.Sort(keys)
				for _, key := range keys {
					rows = append(rows, []string{key, string(p.Config[key])})
				}
				table(w, []string{"PROJECT", p.Slug}, rows[1:])
			})
		},
	}
}
