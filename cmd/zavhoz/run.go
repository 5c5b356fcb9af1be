package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/quick"
	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRun(a *app) *cobra.Command {
	var open bool
	var f attendFlags
	c := &cobra.Command{
		Use: "run [HANDLE…] [--open | --agent-session] -- COMMAND…", Short: "Run a command of your own with resources, confined or with their true values",
		Args: cobra.ArbitraryArgs, ValidArgsFunction: completeOne(true, a.handles),
		Long: "Run a command of your own with resources.\n\n" + runHelp() + `

With --open there is no confinement: the command gets the true values in its environment, and they are kept out of its output.

It asks for the operator's passphrase where one is set. The exit code is the command's; 124 after a timeout, 125 where it never started or the daemon went away,
127 where there is no such command.`,
		Example: `  zavhoz run openai_main -- python3 summarize.py
  zavhoz run prod_vps_1 --rw . -- rsync -a site/ prod_vps_1:/srv/site/
  zavhoz run github_main --tty --pass-through registry.npmjs.org -- npm publish
  zavhoz run openai_main prod_vps_1 --agent-session --agent-home ~/.zavhoz-claude -- claude
  zavhoz run --agent-session --overlay . -- codex
  zavhoz run weather_bot shop_db --open -- docker compose up -d`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n := cmd.ArgsLenAtDash()
			if n < 0 || n == len(args) || n == 0 && !f.session {
				return fault.New(fault.InvalidArgument, "name the resources, then -- and the command", "for example: zavhoz run openai_main -- env; an agent may use none: --agent-session")
			}
			if !open {
				return a.runConfined(cmd.Context(), args[:n], args[n:], f)
			}
			for _, name := range confinedOnly {
				if cmd.Flags().Changed(name) {
					return errUsage{errors.New("if any flags in the group [open " + name + "] are set none of the others can be")}
				}
			}
			return a.runOpen(cmd.Context(), args[:n], args[n:], f.tty)
		},
	}
	c.Flags().BoolVar(&open, "open", false, "without confinement and with true values, as your own act")
	c.Flags().BoolVar(&f.tty, "tty", false, "give the command a terminal: one made inside; with --open yours as it is, and its output is then not redacted")
	f.register(c)
	return c
}

// runOpen goes on where package quick left off, which is most often nowhere.
func (a *app) runOpen(ctx context.Context, handles, argv []string, tty bool) error {
	switch {
	case quick.Begun != nil:
		return a.conclude(quick.Begun)
	case quick.Broken != nil:
		return refused(a, broken(quick.Broken))
	case quick.Refusal != nil:
		if err := a.mend(ctx, quick.Refusal); err != nil {
			return refused(a, err)
		}
	}
	bin, err := exec.LookPath(argv[0])
	if err != nil {
		a.fail(fault.New(fault.BinaryMissing, "there is no such command", "check its name and your PATH").Because(err))
		return exitCode(fault.ExitRunNotFound)
	}
	r, err := a.begin(ctx, quick.Options{Bin: absolute(bin), Argv: argv, Stdin: a.stdin}, handles, tty)
	if err != nil {
		return refused(a, err)
	}
	return a.conclude(r)
}

// mend looks at why quick was refused: what a passphrase mends is asked for here and now, without asking the daemon twice.
func (a *app) mend(ctx context.Context, refusal []byte) error {
	var p api.Problem
	if err := json.Unmarshal(refusal, &p); err != nil {
		return broken(err)
	}
	if p.Code != string(fault.PresenceRequired) {
		return problem(p)
	}
	cl, err := a.client()
	if err != nil {
		return err
	}
	if err := cl.prove(ctx, cl); !errors.Is(err, errNobody) {
		return err
	}
	return problem(p)
}

// begin gets the plan from the daemon and starts the command.
func (a *app) begin(ctx context.Context, o quick.Options, handles []string, tty bool) (*quick.Run, error) {
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	if err := cl.call(ctx, "POST", path("runs", "open"), api.OpenRun{Refs: handles, Command: o.Argv}, &raw); err != nil {
		return nil, err
	}
	if o.Plan, err = deliver.DecodePlan(raw.Bytes()); err != nil {
		return nil, broken(err)
	}
	if tty {
		o.Stdout, o.Stderr = terminalOf(a.stdout), terminalOf(a.stderr)
	}
	o.Report = func(e quick.End) {
		end := api.EndRun{State: "exited", ExitCode: e.ExitCode, Redactions: e.Redactions, OutBytes: e.OutBytes}
		if e.Failed {
			end.State = "failed"
		}
		_ = cl.plain(context.WithoutCancel(ctx), "POST", path("runs", o.Plan.RunID, "end"), end, nil) // the command has run; the record is the daemon's to keep
	}
	return quick.Start(o)
}

// terminalOf gives w where it is a terminal, else nil.
func terminalOf(w io.Writer) *os.File {
	if !isTerminal(w) {
		return nil
	}
	return w.(*os.File)
}

// conclude passes the output on through a redactor, which is made when the first byte has come, and gives the command's exit code.
func (a *app) conclude(r *quick.Run) error {
	if r.Err != nil {
		return refused(a, r.Err)
	}
	redactions := 0
	if !r.Silent() {
		out := a.redactors(r.Plan)
		r.Through(out[0], out[1])
		r.Wait()
		for _, s := range out {
			_ = s.Close() // it fails where nobody reads any more, as Write did
			redactions += s.Report().Redactions
		}
	}
	code := r.End(redactions)
	if redactions > 0 {
		a.hint("zavhoz: %s redacted", count(redactions, "secret value"))
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// redactors puts one before each of our own outputs.
func (a *app) redactors(plan *deliver.Plan) [2]*redact.Stream {
	set := redact.NewSet(redact.Options{})
	for _, l := range plan.Redact {
		_ = set.Add(l.Label, l.Value) // too short to be masked reliably: the vault has refused such values
	}
	return [2]*redact.Stream{set.Stream(a.stdout), set.Stream(a.stderr)}
}

// refused says why a command never started, with the exit code that says so.
func refused(a *app, err error) error {
	a.fail(fault.Of(err))
	return exitCode(fault.ExitRunRefused)
}
