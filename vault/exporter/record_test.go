package exporter_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/exporter"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// recipients makes n of them.
func recipients(t *testing.T, n int) (out []string) {
	t.Helper()
	for range n {
		id, err := age.GenerateX25519Identity()
		must(t, err)
		out = append(out, id.Recipient().String())
	}
	return out
}

// The record says of each resource, once, who took which version of it, in which form, and for how many.
func TestAttack70_TheRecordSaysWhatLeft(t *testing.T) {
	h, x := newHouse(t)
	h.fill(t)
	for i := range 11 {
		label := fmt.Sprint(i)
		_, err := h.EditResource(ctx, vault.OperatorActor(), "one", vault.Edit{Labels: map[string]string{"turn": label}})
		must(t, err)
	}
	one, err := h.Resource(ctx, "one")
	must(t, err)
	db, err := h.Resource(ctx, "db")
	must(t, err)
	out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: []string{"db", one.ID, "one", db.ID}, To: recipients(t, 3), Format: exporter.AgeJSON})
	must(t, err)
	if !slices.Equal(out.Handles, []string{"db", "one"}) || len(h.noted) != 2 {
		t.Fatal(out.Handles, h.noted)
	}
	for i, want := range []struct{ id, handle, detail string }{{db.ID, "db", "map[format:age-json recipients:3 version:1]"}, {one.ID, "one", "map[format:age-json recipients:3 version:12]"}} {
		e := h.noted[i]
		if e.Action != audit.ResourceExport || e.Outcome != audit.Allowed || e.Actor != vault.OperatorActor() || e.Subject != want.id || e.Handle != want.handle || fmt.Sprint(e.Detail) != want.detail {
			t.Errorf("%+v, want %+v", e, want)
		}
	}
	h.wiped(t, 3)
}

// However an export ends, it gives nothing but an error, and no value stays in memory.
func TestAnExportThatFailsGivesNothing(t *testing.T) {
	full := errors.New("the disk is full")
	for name, c := range map[string]struct {
		change func(*house)
		q      exporter.Request
		opened int
		is     func(error) bool
	}{
		"not recorded":    {func(h *house) { h.fails = full }, exporter.Request{Refs: []string{"one", "db"}, Format: exporter.AgeJSON}, 3, func(err error) bool { return errors.Is(err, full) }},
		"not all opens":   {func(h *house) { h.seals = 2 }, exporter.Request{Refs: []string{"one", "db"}, Format: exporter.AgeJSON}, 2, func(err error) bool { return fault.CodeOf(err) == fault.RecordTampered }},
		"not written":     {func(*house) {}, exporter.Request{Refs: []string{"one", "db"}}, 3, func(err error) bool { return fault.CodeOf(err) == fault.NotSupported }},
		"nothing like it": {func(*house) {}, exporter.Request{Refs: []string{"one", "db", "nothing"}, Format: exporter.AgeJSON}, 3, func(err error) bool { return fault.CodeOf(err) == fault.UnknownResource }},
	} {
		h, x := newHouse(t)
		h.fill(t)
		c.change(h)
		c.q.To = recipients(t, 1)
		out, err := x.Export(ctx, vault.OperatorActor(), c.q)
		if !c.is(err) || out.File != nil || out.Handles != nil {
			t.Errorf("%s: %d bytes of %v, %v", name, len(out.File), out.Handles, err)
		}
		h.wiped(t, c.opened)
	}
}

// As many as are allowed are taken, one more is refused before anything is opened.
func TestExportsHaveBounds(t *testing.T) {
	h, x := newHouse(t)
	h.fill(t)
	many := slices.Repeat([]string{"one"}, exporter.MaxHandles)
	to := recipients(t, exporter.MaxRecipients)
	out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: many, To: to, Format: exporter.AgeJSON})
	if err != nil || len(out.Handles) != 1 || len(h.noted) != 1 || h.noted[0].Detail["recipients"] != "64" {
		t.Errorf("%v %v %v", out.Handles, h.noted, err)
	}
	before := len(h.opened)
	for says, q := range map[string]exporter.Request{
		"an export is of 1 to 10000 resources": {Refs: append(many, "one"), To: to[:1]}, "an export is for 1 to 64 recipients": {Refs: many[:1], To: append(to, to[0])},
	} {
		q.Format = exporter.AgeJSON
		out, err := x.Export(ctx, vault.OperatorActor(), q)
		if f := fault.Of(err); err == nil || f.Code != fault.InvalidArgument || f.Message != says || out.File != nil {
			t.Errorf("%v, want %q", err, says)
		}
	}
	for says, q := range map[string]exporter.Request{"an export is of 1 to 10000 resources": {To: to}, "an export is for 1 to 64 recipients": {Refs: many[:1]}} {
		if _, err := x.Export(ctx, vault.OperatorActor(), q); err == nil || fault.Of(err).Message != says {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if len(h.noted) != 1 || len(h.opened) != before {
		t.Errorf("%d recorded, %d opened", len(h.noted), len(h.opened))
	}
}
