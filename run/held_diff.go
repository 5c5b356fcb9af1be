package run

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// FileDiff is what keeping one change would do to a file, as a person may read it: values of the vault's secrets are masked, before the lines are compared, for a value
// may be of many lines; and what moves a cursor, hides text or turns its direction is written out, for that is what somebody would hide a change by.
type FileDiff struct {
	Change sandbox.Change
	Text   string            // a unified diff of what is in the folder now and what would be
	Why    string            // there is none: one of the words below
	What   sandbox.Happening // what happened to the path in the folder since the run saw it; "": nothing
}

// Why there is no diff of a path.
const (
	NoFile     = "no file"
	Binary     = "binary"
	TooLarge   = "too large"
	BeyondAll  = "beyond the limit"
	MaskedOnly = "masked values alone differ"
	RightsOnly = "rights alone differ"
)

// Bounds of what is compared, in bytes.
const (
	maxDiffed = 1 << 20 // of one side of a file
	maxDiff   = 8 << 20 // of all diffs of a run
	maxLine   = 4 << 10 // of one line that is shown, in characters
)

// Diff compares what a run wrote with what is in the folders now. Only for an operator. Who is not present may be an agent's own shell, and what the run wrote its
// guesses (threat-model.md 60): masks then name nothing, each is counted, of both sides, and beyond the budget of a run nothing is shown.
// Errors: unknown_run, record_tampered, output_withheld, presence_required.
func (e *Engine) Diff(ctx context.Context, actor vault.Actor, runID string, present bool) ([]FileDiff, error) {
	if actor.Type != audit.Operator {
		return nil, noOperator()
	}
	done, err := e.busied()
	if err != nil {
		return nil, err
	}
	defer done()
	h := e.take(runID) // nobody settles it meanwhile
	if h == nil {
		return nil, e.notHeld(runID)
	}
	defer e.putBack(h)
	layers := e.o.Sandbox.Layers(e.shelf.path(h), h.layers)
	at, err := layers.Conflicts(h.Changes)
	if err != nil {
		return nil, err
	}
	happened := map[string]sandbox.Happening{}
	for _, c := range at {
		happened[path.Join(c.Workdir, c.Path)] = c.What
	}
	m := &mask{engine: e.masks, own: redact.NewSet(redact.Options{}), budget: math.MaxInt64}
	defer m.done()
	if !present {
		m.handles, m.budget = []string{}, int64(e.o.RedactionBudget)
		m.count.Store(h.hits)
		defer func() { h.hits = m.count.Load() }() // before it is put back
	}
	out, left := make([]FileDiff, 0, len(h.Changes)), maxDiff
	for _, c := range h.Changes {
		d := FileDiff{Change: c, What: happened[path.Join(c.Workdir, c.Path)]}
		if left >= 0 {
			err = d.compare(ctx, layers, m)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if left -= len(d.Text); left < 0 {
			d.Text, d.Why = "", BeyondAll
		}
		out = append(out, d)
	}
	return out, nil
}

// compare makes the diff of one change.
func (d *FileDiff) compare(ctx context.Context, layers *sandbox.Layers, m *mask) error {
	c := d.Change
	if c.Sum == "" && !(c.Kind == sandbox.Removed && c.Was.IsRegular()) {
		d.Why = NoFile
		return nil
	}
	was, made, err := layers.Text(c, maxDiffed)
	if err != nil {
		return err
	}
	if d.Why = d.incomparable(was, made); d.Why != "" {
		return nil
	}
	a, err := m.shown(ctx, was)
	if err != nil {
		return err
	}
	b, err := m.shown(ctx, made)
	switch {
	case err != nil:
		return err
	case m.gagged.Load():
		return fault.New(fault.OutputWithheld, "the secrets of the vault could not be read, so that nothing can be shown without them", "`zavhoz doctor` checks the vault")
	case a == b && len(was)+len(made) > 0:
		d.Why = MaskedOnly
		return nil
	}
	name := visible(strings.TrimPrefix(path.Join(c.Workdir, c.Path), "/"))
	from, to := "a/"+name, "b/"+name
	if was == nil {
		from = "/dev/null"
	}
	if made == nil {
		to = "/dev/null"
	}
	d.Text = cut(udiff.Unified(from, to, visible(a), visible(b))) // after they are compared: what differs far to the right is a difference
	if a == b {                                                   // an empty file that is new, or goes
		d.Text = "--- " + from + "\n+++ " + to + "\n"
	}
	return nil
}

// incomparable says why two sides give no diff; "": they do.
func (d *FileDiff) incomparable(was, made []byte) string {
	c := d.Change
	switch unread := was == nil && c.Had() && c.Was.IsRegular() && d.What != sandbox.HappenedDelete; {
	case c.Sum != "" && c.Bytes > maxDiffed:
		return TooLarge
	case unread && (d.What == sandbox.HappenedType || d.What == "" && c.Below.Size <= maxDiffed): // something else has its place; or it is gone, as the run would have it
		return NoFile
	case unread:
		return TooLarge
	case binary(was) || binary(made):
		return Binary
	case bytes.Equal(was, made) && (was == nil) == (made == nil):
		return RightsOnly
	}
	return ""
}

// shown masks a text and counts what it masked.
func (m *mask) shown(ctx context.Context, text []byte) (string, error) {
	hits := 0
	for _, each := range m.matchers(ctx) {
		masked, report := each.MaskKnown(text, m.names)
		text, hits = masked, hits+report.Redactions
	}
	if m.count.Add(int64(hits)) > m.budget {
		return "", fault.New(fault.PresenceRequired, "these changes hold so many values of the vault that they are withheld until your presence is proven",
			"run the command on a terminal of your own, where zavhoz can ask for it")
	}
	return string(text), nil
}

// binary tells whether what a file holds is no text.
func binary(b []byte) bool { return bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) }

// visible writes out every character that is not seen as itself, but for ends of lines and tabs.
func visible(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r == '\n' || r == '\t' || !redact.Unseen(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "<U+%04X>", r)
		}
	}
	return out.String()
}

// cut leaves out of each line what nobody reads to the end.
func cut(s string) string {
	var out strings.Builder
	line := 0
	for _, r := range s {
		switch line++; {
		case r == '\n':
			line = 0
			out.WriteByte('\n')
		case line <= maxLine:
			out.WriteRune(r)
		case line == maxLine+1:
			out.WriteString("…")
		}
	}
	return out.String()
}
