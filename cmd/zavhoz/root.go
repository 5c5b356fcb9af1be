package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// buildVersion is set by the linker (make build).
var buildVersion = ""

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "devel"
}

// app is what every command works with.
type app struct {
	stdin          *os.File
	stdout, stderr io.Writer
	json           bool
	homeFlag       string
	storeFlag      string         // "": as the home says
	at             *cobra.Command // the command that was run, or would have been; nil: none yet
	line           line           // of the terminal, where progress is shown
}

// exitCode is an error that is only an exit code: a run's own.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "zavhoz",
		Short: "Keeps credentials and servers, and lets LLM agents use them without seeing them",
		Long: `Zavhoz keeps the credentials and machines that an LLM agent works with, and lets the agent use them without ever seeing them.

Start here:
  zavhoz init                                    make the vault
  zavhoz resource add api_key openai_main --set service=openai
  claude mcp add zavhoz -- zavhoz mcp            connect Claude Code`,
		SilenceErrors: true, SilenceUsage: true,
		Version: version(),
	}
	group(root)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errUsage{err} })
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print exact JSON")
	root.PersistentFlags().StringVar(&a.homeFlag, "home", "", "the home folder (default $ZAVHOZ_HOME, else the platform's data folder)")
	root.AddGroup(&cobra.Group{ID: "start", Title: "Getting started:"}, &cobra.Group{ID: "vault", Title: "What is kept:"},
		&cobra.Group{ID: "use", Title: "Using it:"}, &cobra.Group{ID: "watch", Title: "Watching over it:"},
		&cobra.Group{ID: "keep", Title: "Keeping it safe:"})
	for group, cmds := range map[string][]*cobra.Command{
		"start": {newInit(a), newConnect(a), newMCP(a), newServe(a)},
		"vault": {newResource(a), newProject(a), newServer(a), newLease(a), newAgent(a), newWorkdir(a), newKey(a), newPresence(a)},
		"use":   {newRun(a), newRuns(a)},
		"watch": {newStatus(a), newApprovals(a), newApprove(a), newDeny(a), newIntake(a), newStop(a), newAudit(a), newDoctor(a)},
		"keep":  {newLock(a), newUnlock(a), newImport(a), newExport(a), newSOPS(a), newBackup(a), newRestore(a), newMigrate(a), newCompact(a)},
	} {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.AddCommand(newMan(root), newVersion(a))
	return root
}

// dir finds the home folder.
func (a *app) dir() (home.Dir, error) {
	dir, err := home.Locate(func(name string) string {
		if name == "ZAVHOZ_HOME" && a.homeFlag != "" {
			return a.homeFlag
		}
		return os.Getenv(name)
	})
	if err == nil && a.isAway(dir) {
		dir = dir.Away()
	}
	return dir, err
}

// client speaks to the daemon by the operator's socket, starting one where none runs.
func (a *app) client() (*client, error) { return a.clientOf(false) }

// clientOf is client; locked starts a daemon that does not unlock its vault by itself.
func (a *app) clientOf(locked bool) (*client, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	d := dialer{dir: dir, sock: dir.OperatorSock(), locked: locked}
	c := newClient(func(ctx context.Context) (net.Conn, error) {
		defer a.working("Waiting for the daemon")()
		return d.dial(ctx)
	})
	c.prove = a.provePresence
	return c, nil
}

// exit prints err where there is one, and gives the exit code.
func (a *app) exit(err error) int {
	var code exitCode
	var usage errUsage
	switch {
	case err == nil:
		return fault.ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage) || isUsage(err):
		a.fail(fault.New(fault.InvalidArgument, safeUsage(err, a.at), usageNext(err, a.at)))
		return fault.ExitUsage
	}
	if errors.Is(err, context.Canceled) && fault.CodeOf(err) == fault.Internal {
		err = fault.New(fault.Canceled, "interrupted", "").Because(err)
	}
	f := fault.Of(err)
	a.fail(f)
	return f.Code.Of().Exit
}

// operatorWords puts a person's commands where a fault, which an agent may get as well, names a tool. The longer come first.
var operatorWords = strings.NewReplacer(
	"a person unlocks it: `zavhoz unlock`", "unlock it: `zavhoz unlock`",
	"call list_managed_servers to see its state", "check its host and port, or give others: `zavhoz resource edit HANDLE --secret host=- --set port=22`",
	"call list_managed_servers", "run `zavhoz server list`",
	"call it as list_resources shows it", "call it as `zavhoz resource policy HANDLE` shows it",
	"call list_resources", "run `zavhoz resource list`",
	"check with get_run, list_resources or get_status before you call again", "look before you do it again: `zavhoz runs list`, `zavhoz status`",
	"call get_status", "run `zavhoz status`",
	"call allocate_resource", "name the resource: `zavhoz run HANDLE -- COMMAND…`",
	"call tools/list", "see `zavhoz --help`",
	"ask the operator to remove some", "remove some",
	"use run_with_resource", "use `zavhoz run HANDLE -- COMMAND…`",
)

// named puts the handle that a message of a server begins with into the command that is to follow.
func named(next, message string) string {
	handle, _, ok := strings.Cut(message, ": ")
	if !ok || vault.CheckHandle(handle) != nil {
		return next
	}
	return strings.Replace(next, "zavhoz resource edit HANDLE", "zavhoz resource edit "+handle, 1)
}

// fail prints a failure: on a terminal in words, with --json as one object, always to standard error.
func (a *app) fail(f *fault.Error) {
	next := named(operatorWords.Replace(f.Next), f.Message)
	if a.json {
		writeJSON(a.stderr, map[string]any{"error": map[string]any{"code": f.Code, "message": f.Message, "next": next, "details": f.Details}})
		return
	}
	fmt.Fprintf(a.stderr, "zavhoz: %s [%s]\n", f.Message, f.Code)
	if next != "" {
		fmt.Fprintf(a.stderr, "  next: %s\n", next)
	}
	if f.Code == fault.Internal {
		fmt.Fprintf(a.stderr, "  cause: %s\n", fault.Cause(errors.Unwrap(f))) // types alone: they hold no value
	}
}
