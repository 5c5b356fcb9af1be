package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/dotenv"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/variable"
	"github.com/zavhoz/zavhoz/web/api"
)

func newProjectEnv(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "env", Short: "Environments of a project: what its programs find in theirs", Aliases: []string{"environment"}})
	c.AddCommand(newEnvResolve(a), newEnvExplain(a))
	return c
}

// envFlags are what says which environment is meant.
type envFlags struct {
	contracts   []string
	names       []string
	environment string
	values      []string
}

func (f *envFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.contracts, "contract", nil, "an env.contract.yaml, or - for standard input; may be given again")
	c.Flags().StringSliceVar(&f.names, "names", nil, "names of variables, for a project without a contract: A,B")
	c.Flags().StringVar(&f.environment, "environment", contract.Production, "which of the contract's environments")
	c.Flags().StringArrayVar(&f.values, "value", nil, "a value for a literal of the contract, NAME=TEXT; nothing secret")
	c.MarkFlagsMutuallyExclusive("contract", "names")
}

// request reads the contracts. They go to the daemon as they are: one reader decides what they say.
func (f *envFlags) request(a *app, dry bool) (in api.ResolveEnvironment, err error) {
	in = api.ResolveEnvironment{Names: f.names, Environment: f.environment, DryRun: dry}
	if in.Values, err = keyValues("--value", f.values); err != nil {
		return in, err
	}
	for _, name := range f.contracts {
		text, err := a.contractText(name)
		if err != nil {
			return in, err
		}
		in.Contracts = append(in.Contracts, api.ContractFile{Path: name, Text: string(text)})
	}
	return in, nil
}

func (a *app) contractText(name string) ([]byte, error) {
	var from io.Reader = a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.New(fault.InvalidArgument, "a contract cannot be read", "check the path after --contract").Because(err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, contract.MaxFragment+1)) // one byte more, so that the reader refuses it
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "a contract cannot be read", "").Because(err)
	}
	return text, nil
}

func (a *app) resolveEnv(ctx context.Context, cl *client, project string, in api.ResolveEnvironment) (out api.Environment, err error) {
	return out, cl.call(ctx, "POST", path("projects", project, "environment"), in, &out)
}

func newEnvResolve(a *app) *cobra.Command {
	var f envFlags
	var dry bool
	var reader, to string
	c := &cobra.Command{
		Use: "resolve PROJECT", Short: "Resolve a project's environment: generate what is its own, tell what is missing", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Long: `Say of every variable what it is and whether it is there. Secrets that are the project's own to make (its database's password, its signing keys) are generated
once and kept; what a person has to give is named. The environment gets a handle for runs: zavhoz run HANDLE -- COMMAND, or run_with_resource.

With --for the complete environment is written as a dotenv file, for the reader that is named, to standard output: that reveals its values, and asks for presence where it
is set. Nothing is written to a disk unless --out names a file.

The exit code is 9 where something is missing or cannot be resolved.`,
		Example: `  zavhoz project env resolve weather-bot --contract services/backend/env.contract.yaml --contract services/bot/env.contract.yaml
  zavhoz project env resolve weather-bot --names TELEGRAM_BOT_TOKEN,DATABASE_URL
  zavhoz project env resolve weather-bot --names DATABASE_URL --for compose | ssh host 'cat > .env'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to != "" && reader == "" {
				return errUsage{fmt.Errorf("--out belongs to --for")}
			}
			in, err := f.request(a, dry)
			if err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			out, err := a.resolveEnv(cmd.Context(), cl, args[0], in)
			if err != nil {
				return err
			}
			if reader != "" {
				return a.writeEnv(cmd.Context(), cl, out, dotenv.Reader(reader), to)
			}
			if err := a.show(out, func(w io.Writer) { saidEnvironment(w, out, dry) }); err != nil || out.Outcome == string(variable.Complete) {
				return err
			}
			return exitCode(fault.ExitPartial)
		},
	}
	f.register(c)
	c.MarkFlagsOneRequired("contract", "names")
	c.Flags().BoolVar(&dry, "dry-run", false, "tell only: generate and keep nothing")
	c.Flags().StringVar(&reader, "for", "", "write a dotenv file for this reader: bash, compose, python or go")
	c.Flags().StringVar(&to, "out", "", "the new file that --for writes, in place of standard output")
	c.MarkFlagsMutuallyExclusive("dry-run", "for")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"bash", "compose", "python", "go"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func newEnvExplain(a *app) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use: "explain PROJECT|HANDLE", Short: "Say of every variable which rule decided, and how its value is made; change nothing", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.projectSlugs),
		Long: `Say of every variable which rule decided, and how its value is made. Nothing is generated and nothing kept. With --contract or --names it is what they would come to for
a project; without, what the environment of that handle is now.`,
		Example: `  zavhoz project env explain weather-bot --names STRIPE_SECRET,DATABASE_URL
  zavhoz project env explain env_weather-bot_0123456789ab`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			out, err := a.explainEnv(cmd, cl, args[0], &f)
			if err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				var rows [][]string
				for _, v := range out.Variables {
					rows = append(rows, []string{v.Name, v.Class, stateWord(v), v.Rule, plain(v.Why), plain(madeWord(v))})
				}
				table(w, []string{"NAME", "CLASS", "STATE", "RULE", "WHY", "VALUE"}, rows)
			})
		},
	}
	f.register(c)
	return c
}

// explainEnv asks what contracts or names would come to, or what an environment that is there comes to.
func (a *app) explainEnv(cmd *cobra.Command, cl *client, of string, f *envFlags) (out api.Environment, err error) {
	if len(f.contracts)+len(f.names) == 0 {
		if cmd.Flags().Changed("environment") || len(f.values) > 0 {
			return out, errUsage{fmt.Errorf("--environment and --value belong to --contract or --names")}
		}
		return out, cl.call(cmd.Context(), "GET", path("resources", of, "environment"), nil, &out)
	}
	in, err := f.request(a, true)
	if err != nil {
		return out, err
	}
	return a.resolveEnv(cmd.Context(), cl, of, in)
}

func stateWord(v api.Variable) string {
	if v.Problem != "" {
		return v.State + " (" + v.Problem + ": " + plain(v.Cause) + ")"
	}
	return v.State
}

// madeWord is a value that is no secret, or what one is made of.
func madeWord(v api.Variable) string {
	switch {
	case v.MadeOf != "":
		return v.MadeOf
	case v.Sensitive:
		return "[secret]"
	}
	return dash(v.Value)
}

func saidEnvironment(w io.Writer, out api.Environment, dry bool) {
	var rows [][]string
	for _, v := range out.Variables {
		if !v.Hidden {
			rows = append(rows, []string{v.Name, v.Class, stateWord(v)})
		}
	}
	table(w, []string{"NAME", "CLASS", "STATE"}, rows)
	fmt.Fprintln(w)
	if len(out.Generated) > 0 {
		fmt.Fprintf(w, "Generated and kept: %s.\n", strings.Join(out.Generated, ", "))
	}
	for _, m := range out.Missing {
		fmt.Fprintf(w, "A person gives %s: %s\n", m.Name, plain(m.Command))
		if m.Description != "" {
			fmt.Fprintf(w, "  %s\n", plain(m.Description))
		}
	}
	switch {
	case out.Outcome != string(variable.Complete):
		fmt.Fprintf(w, "The environment is not complete: %s.\n", out.Outcome)
	case out.Allow != "":
		fmt.Fprintf(w, "The environment is complete, and no agent runs with it yet. Look at it: zavhoz resource show %s; then allow it: %s\n", out.Handle, out.Allow)
	case !dry:
		fmt.Fprintf(w, "The environment is complete: zavhoz run %s -- COMMAND…\n", out.Handle)
	}
}

// writeEnv writes the values for one reader. They come as they come to a person's own run, and are recorded as one.
func (a *app) writeEnv(ctx context.Context, cl *client, out api.Environment, reader dotenv.Reader, to string) error {
	if out.Outcome != string(variable.Complete) {
		return fault.New(fault.SecretMissing, "the environment is not complete: "+out.Outcome, "`zavhoz project env resolve` without --for says what is missing")
	}
	var raw bytes.Buffer
	asked := api.OpenRun{Refs: []string{out.Handle}, Command: []string{"zavhoz", "project", "env", "resolve", out.Project, "--for", string(reader)}}
	if err := cl.call(ctx, "POST", path("runs", "open"), asked, &raw); err != nil {
		return err
	}
	defer func() { clear(raw.Bytes()) }()
	plan, err := deliver.DecodePlan(raw.Bytes())
	if err != nil {
		return broken(err)
	}
	defer plan.Wipe()
	pairs := make([]dotenv.Pair, 0, len(plan.Items))
	for _, it := range plan.Items {
		pairs = append(pairs, dotenv.Pair{Name: it.Name, Value: it.Value})
	}
	err = a.putEnv(reader, pairs, to)
	end := api.EndRun{State: "exited"}
	if err != nil {
		end.State = "failed"
	}
	_ = cl.plain(context.WithoutCancel(ctx), "POST", path("runs", plan.RunID, "end"), end, nil) // what was written is written; the record is the daemon's to keep
	return err
}

// putEnv writes to standard output, or to a file that was not there: nobody else's, and no link of somebody's.
func (a *app) putEnv(reader dotenv.Reader, pairs []dotenv.Pair, to string) error {
	if to == "" {
		return dotenv.Write(a.stdout, reader, pairs)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.New(fault.InvalidArgument, "the file cannot be made, or is there already", "name a new file after --out").Because(err)
	}
	err = dotenv.Write(f, reader, pairs)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(to)
	}
	return err
}
