package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// grant is what of the person's files one run is to see.
type grant struct {
	a       *app
	folders []api.Folder
	allowed func(path string, force bool) error
}

// named adds the folders that the person named.
func (g *grant) named(f attendFlags) error {
	for _, group := range []struct {
		mode  string
		paths []string
	}{{"ro", f.ro}, {"rw", f.rw}, {"overlay", f.overlay}} {
		for _, typed := range group.paths {
			real, err := canonical(typed)
			if err != nil {
				return fault.Of(err).With("folder", typed)
			}
			if slices.ContainsFunc(g.folders, func(x api.Folder) bool { return x.Path == real }) {
				return fault.New(fault.InvalidArgument, "a folder is named twice", "").With("folder", real)
			}
			if err := g.allowed(real, f.force); err != nil {
				return fault.Of(err).With("folder", real)
			}
			g.folders = append(g.folders, api.Folder{Path: real, Mode: group.mode, Force: f.force})
		}
	}
	return nil
}

// here adds the current folder, and gives where the command starts. A command reads it; an agent that is to work in it writes. What `zavhoz workdir` says of the
// folder, or of one that holds it, comes before both; what the person named for this run before all.
func (g *grant) here(ctx context.Context, session bool) (string, error) {
	wd, err := os.Getwd()
	if err == nil {
		wd, err = filepath.EvalSymlinks(wd)
	}
	if err != nil {
		return "", fault.New(fault.WorkdirRefused, "the current folder is gone", "change to another").Because(err)
	}
	if slices.ContainsFunc(g.folders, func(x api.Folder) bool { return within(wd)(x.Path) }) {
		return wd, nil
	}
	mode := "ro"
	if session {
		mode = "rw"
	}
	registered, err := g.a.workdirs(ctx)
	if err != nil {
		return "", err
	}
	inner := vault.Workdir{}
	for _, w := range registered {
		if w.Holds(wd) && len(w.Path) > len(inner.Path) {
			inner = w
		}
	}
	if inner.Path != "" {
		mode = string(inner.Mode)
	}
	if err := g.allowed(wd, inner.Path != ""); err != nil {
		if session {
			return "", fault.Of(err).WithNext("change to the folder of the project, or name it: --rw PATH").With("folder", wd)
		}
		g.a.hint("zavhoz: the command does not see the current folder: %s.", fault.Of(err).Message)
		return "", nil
	}
	if session && mode == "rw" {
		g.a.hint("zavhoz: %s is writable to it; what you run from there later may be its work (--overlay . asks you first)", plain(wd))
	}
	g.folders = append(g.folders, api.Folder{Path: wd, Mode: mode, Force: inner.Path != ""})
	for _, w := range registered { // what is registered further down keeps its own mode
		if w.Path != wd && within(w.Path)(wd) && !slices.ContainsFunc(g.folders, func(x api.Folder) bool { return x.Path == w.Path }) {
			g.folders = append(g.folders, api.Folder{Path: w.Path, Mode: string(w.Mode), Force: true})
		}
	}
	return wd, nil
}

// homeMark is the file that makes a folder a home for runs: without it no folder with something in it becomes one by a slip (~/.ssh).
const homeMark = ".zavhoz-agent-home"

// home adds a folder that becomes HOME and stays. It is made where there is none.
func (g *grant) home(typed string, force bool) (string, error) {
	if typed == "" {
		return "", nil
	}
	if err := os.MkdirAll(typed, 0o700); err != nil {
		return "", noFolder().Because(err)
	}
	real, err := canonical(typed)
	if err != nil {
		return "", err
	}
	if own, err := os.UserHomeDir(); err == nil && above(real, own) {
		return "", fault.New(fault.WorkdirRefused, "that is your own home, or holds it: a run would have your keys", "name a folder for agents: --agent-home ~/.zavhoz-claude")
	}
	mark := filepath.Join(real, homeMark)
	if _, err := os.Lstat(mark); err != nil && !force {
		if !empty(real) {
			return "", fault.New(fault.WorkdirRefused, "the folder holds something and was no home for runs before", "name a new or empty one; --force takes it as it is").With("folder", real)
		}
	}
	if err := g.allowed(real, true); err != nil {
		return "", err
	}
	if err := os.WriteFile(mark, []byte("A home for confined runs: zavhoz run --agent-home\n"), 0o600); err != nil {
		return "", fault.New(fault.WorkdirRefused, "the folder cannot be written", "name another").Because(err)
	}
	for i, x := range g.folders {
		if x.Path == real {
			g.folders[i].Mode, g.folders[i].Force = "rw", true
			return real, nil
		}
	}
	g.folders = append(g.folders, api.Folder{Path: real, Mode: "rw", Force: true})
	return real, nil
}

func empty(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// paths are the folders of the grant.
func (g *grant) paths() []string {
	var out []string
	for _, x := range g.folders {
		out = append(out, x.Path)
	}
	return out
}

// program adds what the program needs to be there, and gives where the run looks for programs.
func (g *grant) program(argv0 string) []string {
	in := findInstall(argv0, os.Getenv("PATH"), g.paths())
	for _, dir := range in.add {
		if err := g.allowed(dir, true); err != nil {
			g.a.hint("zavhoz: %s is not shown: %s.", plain(dir), fault.Of(err).Message)
			continue
		}
		g.folders = append(g.folders, api.Folder{Path: dir, Mode: "ro", Force: true})
		g.a.hint("zavhoz: %s needs %s: shown, read-only", plain(filepath.Base(argv0)), plain(dir))
	}
	for _, file := range in.lacks {
		g.a.hint("zavhoz: %s lies in a folder that is too wide to be shown; name one to show: --ro PATH", plain(file))
	}
	return in.path
}
