package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// isolation is what runs of this daemon are isolated by: the daemon probes, for it is the one that starts them.
func (d *daemon) isolation(ctx context.Context) api.Isolation {
	if d.sandbox == nil {
		return api.Isolation{Level: string(policy.LevelOpen)}
	}
	return isolationOf(d.sandbox.Probe(ctx))
}

// probeHere tries what this machine offers to a daemon that this user would start.
func probeHere(ctx context.Context) api.Isolation {
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		return api.Isolation{Level: string(policy.LevelOpen), Features: []api.Feature{{Name: "sandbox", Lost: "no command that a model chose starts", Fix: fault.Of(err).Next}}}
	}
	defer s.Close()
	return isolationOf(s.Probe(ctx))
}

func isolationOf(r sandbox.Report) api.Isolation {
	out := api.Isolation{Level: string(r.Level), Features: make([]api.Feature, 0, len(r.Features))}
	for _, f := range r.Features {
		out.Features = append(out.Features, api.Feature{Name: f.Name, OK: f.OK, Lost: f.Lost, Fix: f.Fix})
	}
	return out
}

// leastLevel is the weakest level at which commands that a model chose start on this system: macOS has no namespaces, and is held by its proxy.
func leastLevel() policy.Level {
	if runtime.GOOS == "darwin" {
		return policy.LevelProxied
	}
	return policy.LevelBasic
}

// isolationFault says that no command which a model chose starts here.
func isolationFault(i api.Isolation) error {
	if policy.Level(i.Level).Meets(leastLevel()) {
		return nil
	}
	next := "look at what is lost below"
	for _, f := range i.Features {
		if !f.OK && f.Fix != "" {
			next = f.Fix
			break
		}
	}
	return fault.New(fault.IsolationMissing, "this machine confines no command: only pinned commands and ssh run", next)
}

// lostLine names in one line what a level is without: "nothing", or the features that are not there.
func lostLine(features []api.Feature) string {
	var names []string
	for _, f := range features {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// isolationLine is the level in one line, with what is lost.
func isolationLine(level string, features []api.Feature) string {
	s := "isolation: " + level
	switch {
	case !policy.Level(level).Meets(leastLevel()):
		s += " (only pinned commands and ssh run; see zavhoz doctor)"
	case lostLine(features) != "nothing":
		s += "; lost: " + lostLine(features) + " (see zavhoz doctor)"
	}
	return s
}

// printIsolation writes the table of doctor: each feature, whether it is there, what is lost without it and how to get it.
func printIsolation(w io.Writer, i api.Isolation) {
	fmt.Fprintf(w, "\nIsolation: %s\n", i.Level)
	for _, f := range i.Features {
		if f.OK {
			fmt.Fprintf(w, "ok   %s\n", plain(f.Name))
			continue
		}
		fmt.Fprintf(w, "LOST %-20s %s\n", plain(f.Name), plain(f.Lost))
		if f.Fix != "" {
			fmt.Fprintf(w, "     %-20s get it: %s\n", "", plain(f.Fix))
		}
	}
}
