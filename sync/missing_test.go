package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// ten is a house with ten servers, one of them in use.
func ten(t *testing.T, edit ...func(*sync.Options)) *house {
	h := newHouse(t, edit...)
	h.sim.Populate(10)
	h.ok()
	h.reg.edit("300001", func(r *sync.Row) { r.Status, r.Intent = sync.InUse, sync.Yes })
	h.ok()
	return h
}

func TestGoneIsMissingAfterGraceAndServiceCheck(t *testing.T) {
	h := ten(t)
	seen := h.clock()
	h.sim.Remove(300001)
	for range 2 {
		if rep := h.ok(); rep.Absent != 1 || rep.Missing != 0 || rep.Checked != 0 {
			t.Errorf("%+v", rep)
		}
		h.status("300001", sync.InUse)
	}
	if rep := h.ok(); rep.Missing != 1 || rep.Checked != 1 {
		t.Errorf("%+v", rep)
	}
	r := h.reg.by("300001")
	if r.Status != sync.Missing || r.StatusWas != sync.InUse || !r.LastSeen.Equal(seen) || !r.IsManaged {
		t.Errorf("%+v", r)
	}
	writes := h.reg.writes
	h.ok()
	if h.reg.by("300001").Version != r.Version {
		t.Errorf("a missing row is written in every cycle (%d)", h.reg.writes-writes)
	}
}

func TestBackIsAsBefore(t *testing.T) {
	for _, was := range []sync.Status{sync.InUse, sync.Unreachable, sync.Maintenance, sync.Reserved, sync.Discovered, sync.Error} {
		h := ten(t)
		h.reg.edit("300002", func(r *sync.Row) { r.Status = was })
		h.sim.SetStatus("Terminated", 300002)
		for range 4 {
			h.ok()
		}
		h.status("300002", sync.Missing)
		h.sim.SetStatus("Active", 300002)
		if rep := h.ok(); rep.Back != 1 {
			t.Errorf("%+v", rep)
		}
		if r := h.reg.by("300002"); r.Status != was || r.StatusWas != "" || r.Absent != 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestAShortAbsenceLeavesNoTrace(t *testing.T) {
	h := ten(t)
	h.sim.SetStatus("Terminated", 300001)
	h.ok()
	h.ok()
	h.sim.SetStatus("Active", 300001)
	h.ok()
	h.sim.SetStatus("Terminated", 300001)
	h.ok()
	h.ok()
	h.status("300001", sync.InUse)
}

func TestSuspendedIsNotDeleted(t *testing.T) {
	h := ten(t)
	h.sim.SetStatus("Suspended", 300001, 300003)
	h.sim.Remove(300002)
	for range 3 {
		h.ok()
	}
	h.status("300001", sync.Suspended)
	h.status("300002", sync.Missing)
	// The provider deletes it in the end; the other one is paid for.
	h.sim.SetStatus("Cancelled", 300001)
	h.sim.SetStatus("Active", 300003)
	h.pass(20 * time.Minute)
	h.ok()
	h.status("300001", sync.Missing)
	h.status("300003", sync.Discovered)
	if r := h.reg.by("300001"); r.StatusWas != sync.InUse {
		t.Errorf("%+v", r)
	}
}

func TestTheServiceCheckDecides(t *testing.T) {
	for name, c := range map[string]struct {
		reply  time4vpstest.Reply
		cycles int
		want   sync.Status
	}{
		"active, though not in the list":       {time4vpstest.Raw(200, `{"service":{"status":"Active"}}`), 20, sync.InUse},
		"no answer is no reason":               {time4vpstest.Outage(503), 20, sync.InUse},
		"refused":                              {time4vpstest.IPNotAllowed, 20, sync.InUse},
		"an unknown word, within double grace": {time4vpstest.Raw(200, `{"service":{"status":"Migrating"}}`), 5, sync.InUse},
		"an unknown word, after it":            {time4vpstest.Raw(200, `{"service":{"status":"Migrating"}}`), 20, sync.Missing},
		"fraud":                                {time4vpstest.Raw(200, `{"service":{"status":"Fraud"}}`), 3, sync.Missing},
	} {
		t.Run(name, func(t *testing.T) {
			h := ten(t, func(o *sync.Options) { o.CheckAgain = time.Minute })
			h.sim.Remove(300001)
			h.sim.Inject(time4vpstest.Rule{Prefix: "/service/", Reply: c.reply})
			for range c.cycles {
				h.cycle()
			}
			h.status("300001", c.want)
		})
	}
}

func TestUnreachableIsOursAlone(t *testing.T) {
	h := ten(t)
	h.reg.edit("300004", func(r *sync.Row) { r.Status = sync.Unreachable })
	for range 6 {
		h.ok()
	}
	h.status("300004", sync.Unreachable)
	h.reg.edit("300005", func(r *sync.Row) { r.Status = sync.Decommissioned })
	h.sim.Remove(300005)
	for range 6 {
		h.ok()
	}
	h.status("300005", sync.Decommissioned)
}

func TestServiceChecksAreBounded(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.Checks = 4 })
	ids := h.sim.Populate(30)
	h.ok()
	h.sim.Remove(ids[:10]...)
	for _, missing := range []int{0, 0, 4, 4, 2, 0} {
		if rep := h.ok(); rep.Missing != missing || rep.Checked > 4 {
			t.Errorf("want %d, got %+v", missing, rep)
		}
	}
}

func TestShrinkGuard(t *testing.T) {
	h := ten(t)
	h.sim.Remove(300001, 300002, 300003, 300004, 300005, 300006)
	h.sim.Add(time4vpstest.Server{ID: 400001})
	var rep sync.Report
	for i := range 10 {
		rep = h.fails(fault.SyncShrunk)
		if rep.Shrunk == nil || rep.Shrunk.Cycles != i+1 || rep.Shrunk.Absent != 6 || !rep.Applied || rep.Checked != 0 {
			t.Fatalf("cycle %d: %+v", i+1, rep)
		}
	}
	h.status("300001", sync.InUse)
	h.status("400001", sync.Discovered) // the rest of the cycle stands
	if h.reg.by("300001").Absent != 0 {
		t.Error("absences count while the guard holds")
	}
	if n := strings.Count(h.log.String(), "sync_shrunk"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	for range 3 { // the same ever since: believed, and then the grace
		if rep = h.ok(); rep.Shrunk == nil || !rep.Shrunk.Accepted {
			t.Errorf("%+v", rep)
		}
	}
	h.status("300001", sync.Missing)
	h.status("300006", sync.Missing)
	if rep = h.ok(); rep.Shrunk != nil {
		t.Errorf("%+v", rep)
	}
}

func TestAnEmptyListIsNotBelieved(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(1)
	h.ok()
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server", Exact: true, Reply: time4vpstest.Raw(200, `[]`)})
	for range 5 {
		h.fails(fault.SyncShrunk)
	}
	h.sim.Clear()
	h.ok()
	h.status("300001", sync.Discovered)
	if r := h.reg.by("300001"); r.Absent != 0 || !r.LastSeen.Equal(r.CreatedAt) {
		t.Error("the row was touched")
	}
}

func TestAChangingLossStartsAnew(t *testing.T) {
	h := ten(t)
	for i := range 20 { // never the same ten cycles in a row
		h.sim.SetStatus("Active", 300001, 300002)
		h.sim.SetStatus("Terminated", 300003, 300004, 300005, 300006, 300007, 300008, 300001+i/8%2)
		if rep := h.fails(fault.SyncShrunk); rep.Shrunk.Cycles > 8 {
			t.Fatalf("%+v", rep.Shrunk)
		}
	}
	h.status("300003", sync.Discovered)
}

func TestTheOperatorConfirmsALoss(t *testing.T) {
	h := ten(t)
	if h.r.ConfirmShrunk() {
		t.Error("nothing to confirm")
	}
	h.sim.Remove(300001, 300002, 300003, 300004, 300005, 300006)
	h.fails(fault.SyncShrunk)
	if !h.r.ConfirmShrunk() {
		t.Error("nothing to confirm")
	}
	h.sim.Remove(300007) // not what was confirmed
	h.fails(fault.SyncShrunk)
	h.r.ConfirmShrunk()
	for range 3 {
		h.ok()
	}
	h.status("300007", sync.Missing)
	h.status("300010", sync.Discovered)
}

// Half of the servers gone at once is believed in time; the checks that take many cycles do not raise the guard again.
func TestTheGuardDoesNotComeBackWhileChecksGoOn(t *testing.T) {
	h := newHouse(t, func(o *sync.Options) { o.Checks, o.Patience = 2, 2 })
	ids := h.sim.Populate(12)
	h.ok()
	h.sim.Remove(ids[:9]...)
	h.fails(fault.SyncShrunk)
	h.fails(fault.SyncShrunk)
	for range 8 {
		h.ok()
	}
	for _, id := range ids[:9] {
		h.status(fmt.Sprint(id), sync.Missing)
	}
}

func TestARetriedTransactionCountsOnce(t *testing.T) {
	h := ten(t)
	h.reg.retry = true
	h.sim.Remove(300001)
	h.sim.Add(time4vpstest.Server{ID: 400001})
	rep := h.ok()
	if rep.New != 1 || rep.Absent != 1 || h.reg.by("300001").Absent != 1 || len(h.reg.rows) != 11 {
		t.Errorf("%+v", rep)
	}
}
