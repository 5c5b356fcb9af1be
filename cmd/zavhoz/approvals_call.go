package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// looked shows a person what they are about to approve, and asks: the line in a list is short.
func (a *app) looked(ctx context.Context, cl *client, ref string) error {
	var x api.Approval
	if err := cl.call(ctx, "GET", path("approvals", ref), nil, &x); err != nil {
		return err
	}
	if x.Call == nil || x.Call.State != "waiting" { // the daemon says why it is not to be approved
		return nil
	}
	writeApproval(a.stderr, x)
	if err := drain(a.stdin); err != nil { // an answer that was typed before the question is none: nobody had seen what it would be for
		return fault.New(fault.Canceled, "nothing was changed: the terminal cannot be asked", "").Because(err)
	}
	if !a.askYes(ctx, "Let "+plain(x.Call.Agent)+" make this call once?") {
		return fault.New(fault.Canceled, "nothing was changed", "")
	}
	return nil
}

// shownColumns is how much of a text stands on one line: with its name before it, as wide as the narrowest terminal that people have.
const shownColumns = 68

// writeApproval writes all that a person judges by, each under its name. Nothing of it can begin a line: what is long goes on beside the names, for a terminal would break it where an agent counted that it
// does, and what follows would look like a line of ours.
func writeApproval(w io.Writer, x api.Approval) {
	line := func(name, text string) {
		for text = plain(text); text != ""; name = "" {
			n := fitting(text, shownColumns)
			fmt.Fprintf(w, "%-11s %s\n", name, text[:n])
			text = text[n:]
		}
	}
	line("id", x.ID)
	c := x.Call
	if c == nil {
		line("kind", x.Kind)
		line("what", x.What)
		line("do", x.Command)
		return
	}
	line("state", c.State)
	line("agent", c.Agent)
	line("purpose", c.Purpose)
	line("context", c.Context)
	for _, r := range c.Resources {
		text := fmt.Sprintf("%s (%s of %s, version %d) by %s", r.Handle, r.Kind, r.Project, r.Version, r.Delivery)
		if r.Asks != "" {
			text += "; approval: " + r.Asks
		}
		line("resource", text)
	}
	line("isolation", c.Isolation)
	line("pin", c.Pin)
	for i, word := range c.Argv {
		line("argv["+strconv.Itoa(i)+"]", inQuotes(word))
	}
	line("request", strings.TrimSpace(c.Method+" "+c.URL))
	line("folder", c.Cwd)
	for _, f := range c.Folders {
		line("sees", f)
	}
	for _, m := range []map[string]string{c.Env, c.Headers} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			line("with", name+"="+inQuotes(m[name]))
		}
	}
	alongside(line, "stdin", c.Stdin)
	alongside(line, "body", c.Body)
	line("captures", c.Capture)
	line("timeout", whole(time.Duration(c.TimeoutS)*time.Second))
	if c.Background {
		line("background", "yes")
	}
	line("asked", ago(x.Since))
	if c.State == "waiting" || c.State == "approved" {
		line("until", x.Until.UTC().Format(time.RFC3339))
	}
	line("decided by", c.DecidedBy)
	line("why", c.Why)
	line("run", c.Run)
}

// fitting is how many bytes of a text fit into so many columns, at least one character: scripts that have wide letters are taken for wide.
func fitting(text string, columns int) int {
	for at, r := range text {
		if columns--; r >= 0x1100 {
			columns--
		}
		if columns < 0 && at > 0 {
			return at
		}
	}
	return len(text)
}

// cut is a text in a list. A longer one of an agent's would look like a row of its own where the terminal breaks it.
func cut(text string) string {
	if n := fitting(text, shownColumns); n < len(text) {
		return text[:n] + "…"
	}
	return text
}

// inQuotes shows where a word begins and ends. What is in it is escaped already, but for quotes.
func inQuotes(word string) string { return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"` }

func alongside(line func(name, text string), name string, t *api.AskedText) {
	if t == nil {
		return
	}
	line(name, fmt.Sprintf("%d bytes", t.Bytes))
	line("sha256", t.SHA256)
	line("", inQuotes(t.Text))
}
