package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// fieldFlags are the flags by which add, edit and adopt take fields.
type fieldFlags struct {
	set, secrets, labels []string
	secretsFrom          string
	project, why         string
}

func (f *fieldFlags) register(a *app, c *cobra.Command) {
	f.registerFields(c)
	c.Flags().StringVar(&f.project, "project", "", "the project it belongs to")
	completeFlag(c, "project", a.projectSlugs)
}

// registerFields is register, where the project is given already.
func (f *fieldFlags) registerFields(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.set, "set", nil, "a public attribute, name=value (a model may read it)")
	c.Flags().StringArrayVar(&f.secrets, "secret", nil, "a secret field, name=- (standard input) or name=@FILE; never the value itself")
	c.Flags().StringVar(&f.secretsFrom, "secrets", "", "secret fields as one JSON object from - (standard input) or @FILE")
	c.Flags().StringArrayVar(&f.labels, "label", nil, "a label, key=value")
	c.Flags().StringVar(&f.why, "why", "", "the reason, for the history")
}

func newResourceAdd(a *app) *cobra.Command {
	var f fieldFlags
	var toFile string
	c := &cobra.Command{
		Use: "add KIND [HANDLE]", Short: "Add a credential or a machine", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeKinds,
		Long: `Add a credential or a machine. Secret values come on standard input or from files, never in arguments; on a terminal, missing ones are asked
for without echo. ` + "`zavhoz resource kinds`" + ` lists the kinds, their fields and the known services.`,
		Example: `  printf %s "$TOKEN" | zavhoz resource add telegram_bot weather_bot --set username=@weather_bot --secret token=-
  zavhoz resource add server prod_vps_1 --set user=deploy --secret host=@host.txt --secret ssh_key=@id_ed25519
  zavhoz resource add api_key openai_main --set service=openai --secret key=@key.txt
  echo '{"key":"…"}' | zavhoz resource add api_key acme --set env=ACME_API_KEY --set hosts=api.acme.example --secrets -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := kind.Get(args[0])
			if err != nil {
				return err
			}
			in, err := a.fields(f)
			if err != nil {
				return err
			}
			defer in.wipe()
			if err := a.askMissing(cmd.Context(), k, in); err != nil {
				return err
			}
			body := in.body()
			defer wipeBody(body)
			body["kind"] = k.Name
			if toFile != "" {
				body["to_file"] = toFile
			}
			if len(args) > 1 {
				body["handle"] = args[1]
			}
			return a.add(cmd.Context(), path("resources"), body)
		},
	}
	f.register(a, c)
	c.Flags().StringVar(&toFile, "to-file", "", "the file of secrets that it goes to, by its `NAME` (vault.files in config.yaml); vault for none")
	return c
}

// onlyWay tells whether f is the one to ask for where a kind needs some secret, whichever, and none was given: a generic's value, a server's password.
func onlyWay(k kind.Kind, f kind.Field, in *fields) bool {
	hidden := map[string]bool{}
	for _, other := range k.Fields {
		if other.Class == kind.Secret && other.Required {
			return false
		}
		hidden[other.Name] = other.Class == kind.Hidden
	}
	for given := range in.secrets {
		if !hidden[given] {
			return false
		}
	}
	return f.Class == kind.Secret && (f.Name == "value" || f.Name == "password")
}

// add sends a new resource and says how to go on.
func (a *app) add(ctx context.Context, where string, body map[string]any) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var r api.Resource
	if err := cl.call(ctx, "POST", where, body, &r); err != nil {
		return err
	}
	a.remarks(r)
	return a.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "Added %s (%s) to project %s.\n", r.Handle, r.Kind, r.Project)
		if r.Kind == "server" && r.Attrs["host_key"] == "" {
			fmt.Fprintf(w, "Pin its host key before the first use: zavhoz resource edit %s --pin-host-key\n", r.Handle)
		}
	})
}

// askMissing asks on a terminal for the secret fields that the kind needs and nobody gave.
func (a *app) askMissing(ctx context.Context, k kind.Kind, in *fields) error {
	if !a.person() {
		return nil
	}
	for _, f := range k.Fields {
		if f.Class == kind.Public || in.has(f.Name) || !f.Required && !onlyWay(k, f, in) {
			continue
		}
		if f.Multiline && f.Required {
			return fault.New(fault.SecretMissing, "the field "+f.Name+" is missing", "it has several lines: give it with --secret "+f.Name+"=@FILE")
		}
		s, err := a.askSecret(ctx, a.stdin, fmt.Sprintf("%s (%s): ", f.Name, f.Help))
		if err != nil {
			return err
		}
		if !s.IsZero() {
			in.secrets[f.Name] = s
		}
	}
	return nil
}

// fields are a resource's fields as the command line gave them.
type fields struct {
	attrs, labels map[string]string
	secrets       map[string]secret.Secret
	project, why  string
}

func (f *fields) has(name string) bool { _, ok := f.secrets[name]; return ok }

func (f *fields) wipe() {
	for _, s := range f.secrets {
		s.Wipe()
	}
}

// body is the request, secrets quoted.
func (f *fields) body() map[string]any {
	b := map[string]any{}
	put := func(name string, v map[string]string) {
		if len(v) > 0 {
			b[name] = v
		}
	}
	put("attrs", f.attrs)
	put("labels", f.labels)
	if f.project != "" {
		b["project"] = f.project
	}
	if f.why != "" {
		b["why"] = f.why
	}
	if len(f.secrets) > 0 {
		quoted := map[string]json.RawMessage{}
		for name, s := range f.secrets {
			quoted[name] = api.Quote(s)
		}
		b["secrets"] = quoted
	}
	return b
}

func wipeBody(b map[string]any) {
	quoted, _ := b["secrets"].(map[string]json.RawMessage)
	for _, q := range quoted {
		clear(q)
	}
}
