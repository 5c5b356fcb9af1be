package web_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// exchanges stands for run/rotate, and writes down what it is asked.
type exchanges struct {
	mu    sync.Mutex
	seen  []string
	given []api.Value
}

func (x *exchanges) note(ctx context.Context, format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = append(x.seen, fmt.Sprintf(format, args...)+fmt.Sprint(" ends with the caller: ", ctx.Done() != nil))
}

func (x *exchanges) last() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.seen) == 0 {
		return ""
	}
	return x.seen[len(x.seen)-1]
}

func (x *exchanges) Status(ctx context.Context, ref string) (api.ResourceRotation, error) {
	x.note(ctx, "status %s", ref)
	return api.ResourceRotation{Handle: ref}, nil
}

func (x *exchanges) Plan(ctx context.Context, ref string, in api.RotateResource, compare bool) (api.RotationPlan, error) {
	x.note(ctx, "plan %s compare %v", ref, compare)
	x.take(in)
	return api.RotationPlan{Handle: ref, Compared: compare}, nil
}

func (x *exchanges) Start(ctx context.Context, actor vault.Actor, ref string, in api.RotateResource) (api.ResourceRotation, error) {
	x.note(ctx, "start %s by %s", ref, actor.Type)
	x.take(in)
	return api.ResourceRotation{Handle: ref}, nil
}

func (x *exchanges) Resume(ctx context.Context, actor vault.Actor, ref string) (api.ResourceRotation, error) {
	x.note(ctx, "resume %s by %s", ref, actor.Type)
	return api.ResourceRotation{Handle: ref}, nil
}

func (x *exchanges) Abort(ctx context.Context, actor vault.Actor, ref string, force bool) (api.ResourceRotation, error) {
	x.note(ctx, "abort %s by %s force %v", ref, actor.Type, force)
	return api.ResourceRotation{Handle: ref}, nil
}

func (x *exchanges) take(in api.RotateResource) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, v := range in.Secrets {
		x.given = append(x.given, v)
	}
}

// unreadable is a vault that does not tell whether presence is set.
type unreadable struct {
	*vault.Vault
	broken *bool
}

func (u unreadable) HasPresence(ctx context.Context) (bool, error) {
	if *u.broken {
		return false, errors.New("it cannot be read")
	}
	return u.Vault.HasPresence(ctx)
}

// That two resources hold the same value is told to who has proven presence, at the seat where it was proven; else an agent's own shell could add a resource with a guess and ask for the plan
// (threat-model.md 70). Who cannot be told whether presence is set is told nothing.
func TestAttack70_OnlyWhoIsPresentIsToldWhatSharesAValue(t *testing.T) {
	x, broken := &exchanges{}, false
	h := newHouse(t, func(o *web.Options) {
		o.Rotations = x
		o.Vault = unreadable{o.Vault.(*vault.Vault), &broken}
	})
	seat, other, none := h.sit(100), h.sit(101), h.sit(nowhere)
	h.fill(seat)
	told := func(what string, c *client, want bool) {
		t.Helper()
		a := c.ok("POST", "/resources/bot/rotation/plan", `{"secrets":{"token":"`+canary+`"}}`)
		if got := a.get("compared"); (got == true) != want || !strings.HasPrefix(x.last(), fmt.Sprintf("plan bot compare %v ", want)) {
			t.Errorf("%s: compared %v, %q", what, got, x.last())
		}
	}
	told("no presence is set", none, true)
	h.setPassphrase(seat)
	told("who set it has not proven it since", other, false)
	told("nobody's seat", none, false)
	seat.ok("POST", "/presence", right)
	told("proven", seat, true)
	told("another seat", other, false)
	told("nobody's seat, while another has proven it", none, false)
	h.pass(6 * time.Minute)
	told("proven too long ago", seat, false)
	seat.ok("POST", "/presence", right)
	broken = true
	asked := x.last()
	seat.refused(fault.Internal, "POST", "/resources/bot/rotation/plan", `{}`)
	if x.last() != asked {
		t.Errorf("it was asked all the same: %q", x.last())
	}
	for _, v := range x.given {
		if !v.IsZero() {
			t.Error("a value stayed in memory")
		}
	}
}

// To exchange a credential, to go on and to take it back ask for presence before anything is read, and go on where the caller goes away.
func TestAttack70_ARotationAsksForPresence(t *testing.T) {
	x := &exchanges{}
	h := newHouse(t, func(o *web.Options) { o.Rotations = x })
	c := h.sit(100)
	h.fill(c)
	h.setPassphrase(c)
	away := h.sit(nowhere)
	for path, want := range map[string]struct {
		body, says string
		action     audit.Action
	}{
		"/resources/bot/rotation":                   {`{"secrets":{"token":"` + canary + `"}}`, "start bot by operator ends with the caller: false", audit.RotationBegin},
		"/resources/bot/rotation/resume":            {"", "resume bot by operator ends with the caller: false", audit.RotationRetire},
		"/resources/bot/rotation/abort":             {"", "abort bot by operator force false ends with the caller: false", audit.RotationAbort},
		"/resources/bot/rotation/abort?force=true":  {"", "abort bot by operator force true ends with the caller: false", audit.RotationAbort},
		"/resources/bot/rotation/abort?force=false": {"", "abort bot by operator force false ends with the caller: false", audit.RotationAbort},
	} {
		away.refused(fault.PresenceRequired, "POST", path, want.body)
		if x.last() != "" {
			t.Errorf("%s: it was done: %q", path, x.last())
		}
		if h.denied(want.action) == 0 {
			t.Errorf("%s: the refusal is not on record as %s", path, want.action)
		}
	}
	c.ok("POST", "/presence", right)
	for path, want := range map[string]string{
		"/resources/bot/rotation": "start bot by operator", "/resources/bot/rotation/resume": "resume bot by operator",
		"/resources/bot/rotation/abort": "abort bot by operator force false", "/resources/bot/rotation/abort?force=true": "abort bot by operator force true",
	} {
		body := ""
		if strings.HasPrefix(want, "start") {
			body = `{"secrets":{"token":"` + canary + `"}}`
			c.refused(fault.InvalidArgument, "POST", path, `{"secrets":{"token":"`+canary+`"},"more":1}`)
		}
		c.ok("POST", path, body)
		if x.last() != want+" ends with the caller: false" {
			t.Errorf("%s: %q", path, x.last())
		}
	}
	if len(x.given) != 1 || !x.given[0].IsZero() {
		t.Error("the new value stayed in memory")
	}
	away.ok("GET", "/resources/bot/rotation", "")
	if !strings.HasPrefix(x.last(), "status bot ") {
		t.Error(x.last())
	}
	bare := newHouse(t)
	d := bare.sit(100)
	for _, path := range []string{"/rotation", "/rotation/resume", "/rotation/abort", "/rotation/plan"} {
		d.refused(fault.NotSupported, "POST", "/resources/bot"+path, `{}`)
	}
	d.refused(fault.NotSupported, "GET", "/resources/bot/rotation", "")
}

// denied counts the refusals of an act that are on record.
func (h *house) denied(action audit.Action) (n uint64) {
	h.t.Helper()
	must(h.t, h.Noted(ctx))
	log, st := h.Audit()
	rs, _, err := auditor{log, st}.List(ctx, audit.Filter{Action: action, Outcome: audit.Denied})
	must(h.t, err)
	for _, r := range rs {
		n += max(1, r.Count)
	}
	return n
}
