package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newRun(a *app) *cobra.Command {
	var open, tty bool
	c := &cobra.Command{
		Use: "run HANDLE… --open -- COMMAND…", Short: "Run a command of your own with resources in its environment", Args: cobra.MinimumNArgs(2), ValidArgsFunction: completeOne(true, a.handles),
		Long: `Run a command of your own with the true values of resources in its environment, and their values kept out of its output. There is no confinement:
--open says that you know. It asks for the operator's passphrase where one is set. The exit code is the command's; 124 after a timeout, 125 where it
never started, 127 where there is no such command.`,
		Example: "  zavhoz run openai_main --open -- python3 summarize.py\n  zavhoz run weather_bot shop_db --open -- docker compose up -d",
		RunE: func(cmd *cobra.Command, args []string) error {
			n := cmd.ArgsLenAtDash()
			if n < 1 || n == len(args) {
				return fault.New(fault.InvalidArgument, "name the resources, then -- and the command", "for example: zavhoz run openai_main --open -- env")
			}
			if !open {
				return refused(a, fault.New(fault.IsolationMissing, "a confined run is not there yet on this command", "give --open to run it without confinement, as your own act"))
			}
			return a.runOpen(cmd.Context(), args[:n], args[n:], tty)
		},
	}
	c.Flags().BoolVar(&open, "open", false, "without confinement, as your own act")
	c.Flags().BoolVar(&tty, "tty", false, "give the command your terminal as it is: its output is not redacted")
	return c
}

// runOpen gets the plan from the daemon, runs the command here, and reports its end.
func (a *app) runOpen(ctx context.Context, handles, argv []string, tty bool) error {
	bin, err := exec.LookPath(argv[0])
	if err != nil {
		a.fail(fault.New(fault.BinaryMissing, "there is no such command", "check its name and your PATH").Because(err))
		return exitCode(fault.ExitRunNotFound)
	}
	cl, err := a.client()
	if err != nil {
		return refused(a, err)
	}
	var raw bytes.Buffer
	if err := cl.call(ctx, "POST", path("runs", "open"), api.OpenRun{Refs: handles, Command: argv}, &raw); err != nil {
		return refused(a, err)
	}
	plan, err := deliver.DecodePlan(raw.Bytes())
	if err != nil {
		return refused(a, broken(err))
	}
	defer plan.Wipe()
	code, end, err := a.execute(ctx, plan, bin, argv, tty)
	_ = cl.call(context.WithoutCancel(ctx), "POST", path("runs", plan.RunID, "end"), end, nil) // the record is the daemon's to keep; the command has run
	if err != nil {
		return refused(a, err)
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// refused says why a command never started, with the exit code that says so.
func refused(a *app, err error) error {
	a.fail(fault.Of(err))
	return exitCode(fault.ExitRunRefused)
}

// execute runs the command with what the plan delivers.
func (a *app) execute(ctx context.Context, plan *deliver.Plan, bin string, argv []string, tty bool) (int, api.EndRun, error) {
	failed := api.EndRun{State: "failed", ExitCode: fault.ExitRunRefused}
	parcel, err := deliver.Pack(deliver.Options{Home: os.TempDir(), Base: ownEnv()}, plan.Items)
	if err != nil {
		return 0, failed, err
	}
	defer parcel.Close()
	dir, err := os.Getwd()
	if err != nil {
		return 0, failed, err
	}
	out, stdout, stderr := a.outputs(plan, tty)
	p, err := process.Start(process.Spec{
		Path: absolute(bin), Argv: argv, Env: parcel.Env, Dir: dir, Stdin: a.stdin, Stdout: stdout, Stderr: stderr, Files: parcel.Files, Attached: true,
	})
	if err != nil {
		return 0, failed, fault.New(fault.BinaryMissing, "the command could not be started", "is it a program for this machine?").Because(err)
	}
	stop := context.AfterFunc(ctx, p.Stop)
	defer stop()
	exit := p.Wait()
	end := api.EndRun{State: "exited", ExitCode: exit.Code}
	end.Redactions, end.OutBytes, err = out.close()
	if end.Redactions > 0 {
		a.hint("zavhoz: %d secret values redacted", end.Redactions)
	}
	return exit.Code, end, err
}

// outputs puts a redactor before each of our own outputs. With tty, a terminal is passed on as it is.
func (a *app) outputs(plan *deliver.Plan, tty bool) (o *outputs, stdout, stderr io.Writer) {
	set := redact.NewSet(redact.Options{})
	for _, l := range plan.Redact {
		_ = set.Add(l.Label, l.Value) // too short to be masked reliably: the vault has refused such values
	}
	o = &outputs{}
	through := func(w io.Writer) io.Writer {
		if tty && isTerminal(w) {
			return w
		}
		c := &counted{w: w, n: &o.bytes}
		s := set.Stream(c)
		o.streams = append(o.streams, s)
		return s
	}
	return o, through(a.stdout), through(a.stderr)
}

// outputs are the redactors of a run.
type outputs struct {
	streams []*redact.Stream
	bytes   atomic.Int64
}

func (o *outputs) close() (redactions int, bytes int64, err error) {
	for _, s := range o.streams {
		if cerr := s.Close(); cerr != nil {
			err = cerr
		}
		redactions += s.Report().Redactions
	}
	return redactions, o.bytes.Load(), err
}

// counted counts what passes.
type counted struct {
	w io.Writer
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// ownEnv is the person's own environment, less our token.
func ownEnv() []string {
	var out []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ZAVHOZ_AGENT_TOKEN=") {
			out = append(out, kv)
		}
	}
	return out
}
