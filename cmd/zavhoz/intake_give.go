package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func newIntakeGive(a *app) *cobra.Command {
	var f fieldFlags
	var from, handle string
	c := &cobra.Command{
		Use: "give REQUEST", Short: "Answer a request with the secret, or the resource, that it asks for", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.intakeIDs),
		Long: `Answer a request. On a terminal you see who asks, and what for, and are asked for the values without echo. Elsewhere the value of a project's secret comes with --value - (standard
input) or --value @FILE, and the fields of a resource as for ` + "`zavhoz resource add`" + `: never in arguments.`,
		Example: `  zavhoz intake give itk_xhbyq3k2xv7e5bnzq2m4c6d7fa
  printf %s "$KEY" | zavhoz intake give itk_xhbyq3k2xv7e5bnzq2m4c6d7fa --value -
  zavhoz intake give itk_xhbyq3k2xv7e5bnzq2m4c6d7fa --set service=openai --secret key=@key.txt --handle openai_team`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.intake(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.askedFor(i)
			var body map[string]any
			if i.Key != "" {
				body, err = a.keyGiven(cmd.Context(), i, f, from, handle)
			} else {
				body, err = a.resourceGiven(cmd.Context(), i, f, from, handle)
			}
			if err != nil {
				return err
			}
			defer wipeGiven(body)
			cl, err := a.client()
			if err != nil {
				return err
			}
			var out api.Intake
			if err := cl.call(cmd.Context(), "POST", path("intakes", args[0], "give"), body, &out); err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				fmt.Fprintf(w, "Gave %s, which %s asked for.\n", plain(out.Gave), plain(out.By))
			})
		},
	}
	c.Flags().StringVar(&from, "value", "", "the value of a project's secret, from - (standard input) or @FILE; never the value itself")
	c.Flags().StringVar(&handle, "handle", "", "another handle for the resource than was asked for")
	f.registerFields(c)
	return c
}

// askedFor tells a person at a terminal what they are about to give, and to whom: before they are asked for it.
func (a *app) askedFor(i api.Intake) {
	if a.person() && !a.json {
		fmt.Fprintf(a.stderr, "%s asks for %s: %s\n", plain(i.By), plain(intakeFor(i)), plain(i.Reason))
	}
}

// keyGiven is the answer to a request for a project's secret.
func (a *app) keyGiven(ctx context.Context, i api.Intake, f fieldFlags, from, handle string) (map[string]any, error) {
	if len(f.set)+len(f.secrets)+len(f.labels) > 0 || f.secretsFrom != "" || handle != "" {
		return nil, fault.New(fault.InvalidArgument, "this request is for the secret of a project, which is one value", "give it with --value - or --value @FILE")
	}
	var s secret.Secret
	switch {
	case from == "-" || strings.HasPrefix(from, "@"):
		b, err := a.readFrom(from)
		if err != nil {
			return nil, err
		}
		s = secret.New(b)
	case from != "":
		return nil, errArgv
	case a.person():
		var err error
		if s, err = a.askSecret(ctx, a.stdin, plain(i.Key)+": "); err != nil {
			return nil, err
		}
	}
	defer s.Wipe()
	if s.IsZero() {
		return nil, fault.New(fault.SecretMissing, "no value was given", "give it with --value - (standard input) or --value @FILE")
	}
	return map[string]any{"value": api.Quote(s), "why": f.why}, nil
}

// resourceGiven is the answer to a request for a resource.
func (a *app) resourceGiven(ctx context.Context, i api.Intake, f fieldFlags, from, handle string) (map[string]any, error) {
	if from != "" {
		return nil, fault.New(fault.InvalidArgument, "this request is for a resource, whose fields have names", "give each with --secret NAME=- or --secret NAME=@FILE, and --set NAME=VALUE")
	}
	k, err := kind.Get(i.Kind)
	if err != nil {
		return nil, err
	}
	in, err := a.fields(f)
	if err != nil {
		return nil, err
	}
	defer in.wipe()
	if err := a.askMissing(ctx, k, in); err != nil {
		return nil, err
	}
	body := in.body()
	if handle != "" {
		body["handle"] = handle
	}
	return body, nil
}

func wipeGiven(body map[string]any) {
	wipeBody(body)
	v, _ := body["value"].(json.RawMessage)
	clear(v)
}
