package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// attendFlags are what a confined run may be given beside its resources and its command.
type attendFlags struct {
	session, tty, keep, noPreset, force bool
	ro, rw, overlay, through, env       []string
	home, level                         string
	timeout                             time.Duration
}

func (f *attendFlags) register(c *cobra.Command) {
	fs := c.Flags()
	fs.BoolVar(&f.session, "agent-session", false, "run a whole agent: on a terminal of its own, the current folder writable, any number of resources or none")
	fs.StringArrayVar(&f.ro, "ro", nil, "a folder that the command reads (repeatable)")
	fs.StringArrayVar(&f.rw, "rw", nil, "a folder that the command writes in (repeatable)")
	fs.StringArrayVar(&f.overlay, "overlay", nil, "a folder beside which the command writes: at the end you are asked what becomes of the changes (repeatable)")
	fs.BoolVar(&f.keep, "keep", false, "make the changes beside --overlay folders without asking")
	fs.StringVar(&f.home, "agent-home", "", "a folder that becomes the command's HOME and stays, made where there is none (default: an empty one that goes with the run)")
	fs.StringArrayVar(&f.through, "pass-through", nil, "a host that is reached without any credential, as HOST or HOST:PORT (repeatable)")
	fs.BoolVar(&f.noPreset, "no-preset", false, "do not pass a known agent's own hosts through")
	fs.StringArrayVar(&f.env, "env", nil, "a plain variable, NAME=VALUE, or NAME for its value here (repeatable)")
	fs.StringVar(&f.level, "level", "", "isolation of at least this: proxied, basic, sealed, vaulted")
	fs.DurationVar(&f.timeout, "timeout", 0, "end the run after this long (default: never)")
	fs.BoolVar(&f.force, "force", false, "a folder of --ro, --rw, --overlay or --agent-home is a system's or a person's own, and meant")
	for _, name := range []string{"ro", "rw", "overlay", "agent-home"} {
		_ = c.MarkFlagDirname(name)
	}
	_ = c.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"basic", "sealed", "vaulted"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("env", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc("pass-through", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
}

// confinedOnly are the flags that mean nothing to a run without walls.
var confinedOnly = []string{"agent-session", "ro", "rw", "overlay", "keep", "agent-home", "pass-through", "no-preset", "env", "level", "timeout", "force"}

// runConfined runs the command within walls, attended from here.
func (a *app) runConfined(ctx context.Context, handles, argv []string, f attendFlags) error {
	in, err := a.attendRequest(ctx, handles, argv, f)
	if err != nil {
		return refused(a, err)
	}
	cl, err := a.client()
	if err != nil {
		return refused(a, err)
	}
	conn, err := cl.upgrade(ctx, path("runs", "attend"), in)
	if err != nil {
		return refused(a, err)
	}
	return a.attend(conn, f.keep, in.Terminal != nil)
}

// attendRequest gathers what the run is to see and to reach.
func (a *app) attendRequest(ctx context.Context, handles, argv []string, f attendFlags) (in api.AttendRun, err error) {
	dir, err := a.dir()
	if err != nil {
		return in, err
	}
	in = api.AttendRun{Refs: handles, Command: argv, PassThrough: f.through, Level: f.level, Env: map[string]string{}}
	if f.timeout < 0 || f.timeout > 0 && f.timeout < time.Second {
		return in, fault.New(fault.InvalidArgument, "a timeout is at least one second", "for example: --timeout 10m")
	}
	in.TimeoutS = int(f.timeout / time.Second)
	if err := plainEnv(in.Env, f.env); err != nil {
		return in, err
	}
	g := &grant{a: a, allowed: folders(dir)}
	if err := g.named(f); err != nil {
		return in, err
	}
	if in.Dir, err = g.here(ctx, f.session); err != nil {
		return in, err
	}
	if in.Home, err = g.home(f.home, f.force); err != nil {
		return in, err
	}
	in.Path = g.program(argv[0])
	in.Folders = g.folders
	if f.session && !f.noPreset {
		a.preset(&in)
	}
	if f.session || f.tty {
		in.Terminal = a.ownTerminal(in.Env)
	}
	return in, nil
}

// preset adds what a known agent needs for itself.
func (a *app) preset(in *api.AttendRun) {
	k, ok := agentOf(in.Command[0])
	if !ok {
		if len(in.PassThrough) == 0 {
			a.hint("zavhoz: %s is no agent that is known here, so no host is passed through for it; name them: --pass-through HOST", plain(filepath.Base(in.Command[0])))
		}
		return
	}
	for name, value := range k.env {
		if _, given := in.Env[name]; !given {
			in.Env[name] = value
		}
	}
	var fresh []string
	for _, h := range k.hosts {
		if !slices.Contains(in.PassThrough, h) {
			fresh = append(fresh, h)
		}
	}
	in.PassThrough = append(slices.Clone(in.PassThrough), fresh...)
	a.hint("zavhoz: %s reaches, for itself: %s (--no-preset: nothing)", plain(filepath.Base(in.Command[0])), strings.Join(in.PassThrough, ", "))
}

// tastes are variables that say what the person's terminal can and what they like. They are passed on to a terminal made inside.
var tastes = []string{"COLORTERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "COLORFGBG"}

// ownTerminal describes the person's terminal; nil where they sit at none, or only look at one.
func (a *app) ownTerminal(env map[string]string) *api.Terminal {
	if terminalOf(a.stdout) == nil || !isTerminal(a.stdin) {
		return nil
	}
	for _, name := range tastes {
		if v, ok := os.LookupEnv(name); ok && len(v) < 64 {
			if _, given := env[name]; !given {
				env[name] = v
			}
		}
	}
	rows, cols := terminalSize(a.stdin)
	return &api.Terminal{Rows: rows, Cols: cols, Term: os.Getenv("TERM")}
}

// plainEnv reads NAME=VALUE, and NAME for what this program's own environment has.
func plainEnv(env map[string]string, given []string) error {
	for _, kv := range given {
		name, value, ok := strings.Cut(kv, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				return fault.New(fault.InvalidArgument, "a variable that is to be passed on is not set here", "give it as --env NAME=VALUE")
			}
		}
		env[name] = value
	}
	return nil
}

// attendHelp is what the two forms of a confined run have in common.
const attendHelp = `
Without --open the command is confined: it gets a stand-in in the place of each value, and its only way out is a proxy that puts the value in on the way to the hosts
that the resource allows; ssh to a server's handle is logged in already, a database's URL leads to a front. It reads the current folder (where
zavhoz workdir says something of it, that holds; --rw . and --overlay . come before both), a read-only system, an empty home, and nothing else of yours. Its input,
output, signals and exit code pass through; it ends with this command.

--agent-session runs a whole agent like that, for as long as you work with it: on a terminal of its own, the current folder writable where
zavhoz workdir says nothing of it. What agents need for themselves, the API of their model and their login, is passed through without a credential of yours: for %s
it is known, for others --pass-through names it. Let it keep its settings and login by --agent-home. Programs outside the system's folders (nvm, ~/.local, pyenv, /opt) are found in your PATH, and their
install is shown to the run, read-only; nothing of your own environment is passed on but what --env names.`

func runHelp() string {
	return fmt.Sprintf(strings.TrimSpace(attendHelp), strings.Join(slices.Sorted(maps.Keys(knownAgents)), ", "))
}
