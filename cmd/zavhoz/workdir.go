package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func newWorkdir(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "workdir", Short: "Working directories: folders that runs may see", Aliases: []string{"workdirs"}})
	c.AddCommand(newWorkdirAdd(a), newWorkdirList(a), newWorkdirRemove(a))
	return c
}

func newWorkdirAdd(a *app) *cobra.Command {
	var in api.NewWorkdir
	c := &cobra.Command{
		Use: "add PATH", Short: "Open a folder to runs", Args: cobra.ExactArgs(1),
		Long: `Open a folder of this machine to the runs of agents. Without one, a run sees a read-only system and an empty folder of its own. It asks for the operator's
passphrase where one is set.

  ro       runs read it
  overlay  runs write beside it: the folder stays as it is until the changes are kept
  rw       runs write in it. What you run there later (a Makefile, .git/hooks, .envrc) may then have been written by a model, and runs unconfined

Where folders lie in one another, the innermost decides on what is in it. A path over a symbolic link is opened as what it leads to. A whole home, its hidden
folders (.ssh, .aws, .config) and where programs keep their data are refused unless --force says that they are meant; the folders of the system and of the kernel, what many
people share (/tmp, /srv) and the home of zavhoz always.`,
		Example: `  zavhoz workdir add ~/src/weather-bot --mode overlay
  zavhoz workdir add . --mode rw --agent ci --project web
  zavhoz workdir add /srv/data`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Path, err = canonical(args[0]); err != nil {
				return err
			}
			if typed, err := filepath.Abs(args[0]); err == nil && typed != in.Path {
				a.hint("%s is %s.", plain(args[0]), plain(in.Path))
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			var w vault.Workdir
			if err := cl.call(cmd.Context(), "POST", path("workdirs"), in, &w); err != nil {
				return err
			}
			return a.show(w, func(out io.Writer) { fmt.Fprintf(out, "Opened %s (%s) to %s.\n", plain(w.Path), w.Mode, whose(w)) })
		},
	}
	c.Flags().StringVar(&in.Mode, "mode", string(vault.WorkdirRead), "ro, rw or overlay")
	c.Flags().StringArrayVar(&in.Agents, "agent", nil, "only to this agent (repeatable; default: every agent)")
	c.Flags().StringVar(&in.Project, "project", "", "only to runs of this project")
	c.Flags().BoolVar(&in.Force, "force", false, "it is a person's home or a program's folder, and meant")
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"ro\tread", "rw\twrite in place", "overlay\twrite beside it"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(c, "agent", a.agentNames)
	completeFlag(c, "project", a.projectSlugs)
	return c
}

// canonical gives the one absolute path of a folder that is there.
func canonical(typed string) (string, error) {
	abs, err := filepath.Abs(typed)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", noFolder().Because(err)
	}
	return abs, nil
}

func noFolder() *fault.Error {
	return fault.New(fault.InvalidArgument, "there is no such folder, or it cannot be read", "name a folder that is there")
}

func whose(w vault.Workdir) string {
	s := "every agent"
	if len(w.Agents) > 0 {
		s = strings.Join(w.Agents, ", ")
	}
	if w.Project != "" {
		s += ", in project " + w.Project
	}
	return s
}

func newWorkdirList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the folders that runs may see", Args: cobra.NoArgs, Aliases: []string{"ls"}, Example: "  zavhoz workdir list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ws, err := a.workdirs(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(api.Page[vault.Workdir]{Items: ws}, func(w io.Writer) {
				if len(ws) == 0 {
					fmt.Fprintln(w, "No folder is open to runs. Open one: zavhoz workdir add PATH --mode overlay")
					return
				}
				var rows [][]string
				for _, d := range ws {
					rows = append(rows, []string{d.Path, string(d.Mode), dash(strings.Join(d.Agents, ",")), dash(d.Project), ago(d.CreatedAt)})
				}
				table(w, []string{"PATH", "MODE", "AGENTS", "PROJECT", "OPENED"}, rows)
			})
		},
	}
}

func (a *app) workdirs(ctx context.Context) ([]vault.Workdir, error) {
	cl, err := a.client()
	if err != nil {
		return nil, err
	}
	var page api.Page[vault.Workdir]
	err = cl.call(ctx, "GET", path("workdirs"), nil, &page)
	return page.Items, err
}

// workdirPaths completes the paths of the folders that are open.
func (a *app) workdirPaths(ctx context.Context) ([]string, error) {
	return listed(ctx, a, "workdirs", func(w vault.Workdir) string { return cobra.CompletionWithDesc(w.Path, string(w.Mode)) })
}

func newWorkdirRemove(a *app) *cobra.Command {
	var sure consent
	c := &cobra.Command{
		Use: "rm PATH", Short: "Close a folder to runs", Args: cobra.ExactArgs(1), Aliases: []string{"remove"}, ValidArgsFunction: completeOne(false, a.workdirPaths),
		Long: `Close a folder to runs; runs under way keep it. Nothing in it is touched. A folder within another that is open takes that one's mode again, so closing it asks for the
operator's passphrase where one is set.`,
		Example: "  zavhoz workdir rm ~/src/weather-bot --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			ws, err := a.workdirs(cmd.Context())
			if err != nil {
				return err
			}
			d, ok := workdirNamed(ws, args[0])
			if !ok {
				return fault.New(fault.UnknownWorkdir, "there is no such working directory", "`zavhoz workdir list` shows them")
			}
			if err := a.agreed(cmd.Context(), sure, "Close "+plain(d.Path)+" to runs?"); err != nil {
				return err
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			if err := cl.call(cmd.Context(), "DELETE", path("workdirs", d.ID), nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { fmt.Fprintf(w, "Closed %s to runs.\n", plain(d.Path)) })
		},
	}
	sure.register(c)
	return c
}

// workdirNamed finds a folder by id or path, also by one that leads to it over symbolic links, or to where it was.
func workdirNamed(ws []vault.Workdir, typed string) (vault.Workdir, bool) {
	names := []string{typed}
	if abs, err := filepath.Abs(typed); err == nil {
		names = append(names, abs)
	}
	if real, err := canonical(typed); err == nil {
		names = append(names, real)
	}
	for _, name := range names {
		if i := slices.IndexFunc(ws, func(w vault.Workdir) bool { return w.ID == name || w.Path == name }); i >= 0 {
			return ws[i], true
		}
	}
	return vault.Workdir{}, false
}
