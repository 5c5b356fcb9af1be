package sync_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
)

func TestAFailedListChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		reply time4vpstest.Reply
		code  fault.Code
	}{
		"login": {time4vpstest.WrongLogin, fault.ProviderLogin}, "ip": {time4vpstest.IPNotAllowed, fault.ProviderIPDenied},
		"503": {time4vpstest.Outage(503), fault.ProviderUnavailable}, "reset": {time4vpstest.Reset, fault.ProviderUnavailable},
		"cut": {time4vpstest.Cut, fault.ProviderUnavailable}, "html with 200": {time4vpstest.Outage(200), fault.ProviderReply},
		"null": {time4vpstest.Raw(200, "null"), fault.ProviderReply}, "half": {time4vpstest.Raw(200, `[{"server_id":300001},`), fault.ProviderReply},
		"huge": {time4vpstest.Huge(9 << 20), fault.ProviderReply}, "throttled": {time4vpstest.Raw(429, ""), fault.ProviderThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			h := ten(t)
			rows, success := maps.Clone(h.reg.rows), h.clock()
			h.sim.Fail(c.reply)
			rep := h.fails(c.code)
			if rep.Applied || rep.Idle || !rep.LastSuccess.Equal(success) {
				t.Errorf("%+v", rep)
			}
			if fmt.Sprint(rows) != fmt.Sprint(h.reg.rows) {
				t.Error("rows changed")
			}
			if age, err := h.r.LastSuccess(t.Context()); err != nil || !age.Equal(success) {
				t.Errorf("the data's age is lost: %v %v", age, err)
			}
		})
	}
}

func TestOneOutageIsOneIncident(t *testing.T) {
	h := ten(t)
	h.sim.Fail(time4vpstest.Outage(503))
	for i := range 6 {
		if rep := h.fails(fault.ProviderUnavailable); rep.Incident == nil || rep.Incident.Count != i+1 {
			t.Errorf("%+v", rep.Incident)
		}
	}
	if n := strings.Count(h.log.String(), "nothing was changed"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	if len(h.told) != 1 || h.reg.state["time4vps"].Incident == nil {
		t.Errorf("%v", h.told)
	}
	h.sim.Clear()
	rep := h.ok()
	if rep.Incident != nil || h.reg.state["time4vps"].Incident != nil {
		t.Error("the incident is not closed")
	}
	if want := "[time4vps provider_unavailable false time4vps provider_unavailable true]"; fmt.Sprint(h.told) != want {
		t.Errorf("%v, want %v", h.told, want)
	}
	if !strings.Contains(h.log.String(), `"failed_cycles":6`) {
		t.Error("the count is not logged")
	}
	// Another one is another one.
	h.sim.Fail(time4vpstest.WrongLogin)
	h.fails(fault.ProviderLogin)
	if len(h.told) != 3 {
		t.Errorf("%v", h.told)
	}
}

func TestAnIncidentOutlivesARestart(t *testing.T) {
	h := ten(t)
	h.sim.Fail(time4vpstest.Outage(503))
	first := h.fails(fault.ProviderUnavailable)
	again := sync.NewReconciler(sync.Options{Provider: time4vps.Provider{Client: h.client}, Registry: h.reg, Clock: h.clock,
		OnIncident: func(context.Context, string, sync.Incident, bool) error { t.Error("told twice"); return nil }})
	if at, err := again.LastSuccess(t.Context()); err != nil || at.IsZero() {
		t.Error("the data's age is lost")
	}
	if rep := again.Cycle(t.Context()); rep.Incident == nil || !rep.Incident.Since.Equal(first.Incident.Since) {
		t.Errorf("%+v", rep.Incident)
	}
}

func TestAFailingNotificationStopsNothing(t *testing.T) {
	h := ten(t)
	h.tell = errors.New("smtp says no, password canary-smtp")
	h.sim.Fail(time4vpstest.Outage(503))
	h.fails(fault.ProviderUnavailable)
	h.sim.Clear()
	h.sim.Add(time4vpstest.Server{ID: 400001})
	if rep := h.cycle(); !rep.Applied || rep.New != 1 {
		t.Errorf("%+v", rep)
	}
	if strings.Contains(h.log.String(), "canary") {
		t.Error("the notification's error was logged")
	}
}

func TestALockedVaultIsNoOutage(t *testing.T) {
	h := ten(t)
	h.sim.ResetRequests()
	h.reg.set(func() { h.reg.locked = true })
	rep := h.fails(fault.VaultLocked)
	if !rep.Idle || rep.Incident != nil || len(h.told) != 0 || h.sim.Requests("") != 0 {
		t.Errorf("%+v", rep)
	}
	h.reg.set(func() { h.reg.locked = false })
	for _, code := range []fault.Code{fault.VaultLocked, fault.SyncNotConfigured} {
		h.creds = fault.New(code, "no", "")
		if rep := h.fails(code); !rep.Idle || rep.Incident != nil {
			t.Errorf("%+v", rep)
		}
	}
	if strings.Contains(h.log.String(), `"level":"ERROR"`) || len(h.told) != 0 {
		t.Error("an idle cycle is loud")
	}
	h.creds = nil
	h.ok()
}

// The vault locks, or the registry fails, after the list was read: nothing of the cycle is stored.
func TestAFailingTransactionStoresNothing(t *testing.T) {
	h := ten(t)
	h.sim.Add(time4vpstest.Server{ID: 400001})
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/400001", Times: 1, Reply: time4vpstest.Raw(200, `{"status":"Active"}`)})
	h.reg.set(func() { h.reg.fail = errors.New("disk full: canary") })
	rep := h.fails(fault.Internal)
	if rep.Applied || len(h.reg.rows) != 10 || strings.Contains(h.log.String(), "canary") {
		t.Errorf("%+v", rep)
	}
	h.reg.set(func() { h.reg.fail = nil })
	if rep := h.ok(); rep.New != 1 {
		t.Errorf("%+v", rep)
	}
}

func TestALoginRefusedStopsTheDetails(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.DetailsAt = 1 })
	h.sim.Populate(50)
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/", Reply: time4vpstest.WrongLogin})
	rep := h.fails(fault.SyncIncomplete)
	if n := h.sim.Requests("GET /server/"); n != 1 || rep.Problems[fault.ProviderLogin] != 1 || rep.Waiting != 49 || rep.New != 50 {
		t.Errorf("%d details calls; %+v", n, rep)
	}
}

func TestAnOutageOfTheDetailsIsGivenUp(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.DetailsAt = 2 })
	h.sim.Populate(100)
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/", Reply: time4vpstest.Outage(502)})
	h.fails(fault.SyncIncomplete)
	if n := h.sim.Requests("GET /server/"); n < 20 || n > 22 {
		t.Errorf("%d details calls", n)
	}
}

func TestDetailsHaveABudget(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.DetailsAt, o.DetailsBudget = 2, time.Second })
	h.sim.Populate(20)
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/", Skip: 5, Reply: time4vpstest.Hang})
	rep := h.ok() // the list is stored; the numbers come later, oldest first
	if rep.New != 20 || rep.Refreshed != 5 || rep.Waiting != 15 {
		t.Errorf("%+v", rep)
	}
	h.sim.Clear()
	if rep = h.ok(); rep.Refreshed != 15 || rep.Waiting != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestTheCyclesDeadlineLeavesTimeToStore(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.ApplyReserve = 4 * time.Second })
	h.sim.Populate(20)
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/", Reply: time4vpstest.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if rep := h.r.Cycle(ctx); !rep.OK || rep.New != 20 {
		t.Errorf("%+v", rep)
	}
}

// sour is a provider that panics.
type sour struct{ sync.Provider }

func (s sour) Details(context.Context, string) (sync.Details, error) { panic("canary-panic") }

func TestAPanicOfOneServerStopsNothing(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.Provider = sour{o.Provider} })
	h.sim.Populate(3)
	rep := h.fails(fault.SyncIncomplete)
	if rep.New != 3 || rep.Problems[fault.Internal] != 3 || strings.Contains(h.log.String(), "canary") {
		t.Errorf("%+v", rep)
	}
}

func TestProviderShapes(t *testing.T) {
	for _, style := range []time4vpstest.Style{{SingleObject: true}, {PlainID: true}, {QuotedIDs: true}, {NullFields: true}, {SingleObject: true, PlainID: true, QuotedIDs: true}} {
		h := newHouse(t)
		h.sim.SetStyle(style)
		h.sim.Populate(1)
		if rep := h.ok(); rep.New != 1 || rep.Refreshed != 1 {
			t.Errorf("%+v: %+v", style, rep)
		}
	}
}
