package sync_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func TestNewServersAreDiscoveredAndNotManaged(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(5)
	rep := h.ok()
	if rep.New != 5 || rep.Seen != 5 || rep.Managed != 0 || rep.Refreshed != 5 {
		t.Errorf("%+v", rep)
	}
	r := h.reg.by("300001")
	if !id.Is(r.ID, id.Server) || r.Status != sync.Discovered || r.IsManaged || r.Intent != sync.Auto || strings.Contains(r.ID, "300001") {
		t.Errorf("%+v", r)
	}
	if !is(h.sealed("300001", sync.FieldIP), "198.18.0.1") || !is(h.sealed("300001", sync.FieldDomain), "host-300001.example.net") {
		t.Error("addresses are not sealed")
	}
}

func TestNumbersAreReadWithTheFirstCycle(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(3)
	h.ok()
	r := h.reg.by("300002")
	if r.CPU != 2 || r.RAMMB != 4096 || r.DiskMB != 81_920 || r.UsedRAMMB != 1180 || r.UsedDiskMB != 9300 || r.OS == "" || !r.ObservedAt.Equal(h.clock()) {
		t.Errorf("%+v", r)
	}
	h.sim.ResetRequests()
	for range 3 {
		h.ok()
	}
	if n := h.sim.Requests("GET /server/"); n != 0 {
		t.Errorf("%d details calls within the interval", n)
	}
	h.ok()
	if n := h.sim.Requests("GET /server/"); n != 3 {
		t.Errorf("%d details calls after it, want 3", n)
	}
}

func TestAQuietCycleWritesNoRow(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(10)
	h.ok()
	before, rows := h.reg.writes, maps.Clone(h.reg.rows)
	rep := h.ok()
	if h.reg.writes != before || fmt.Sprint(rows) != fmt.Sprint(h.reg.rows) {
		t.Errorf("%d rows written", h.reg.writes-before)
	}
	if !rep.LastSuccess.Equal(h.clock()) || !h.reg.state["time4vps"].LastSuccess.Equal(h.clock()) {
		t.Error("the data's age does not move")
	}
}

func TestAHealthyEmptyAccountIsComplete(t *testing.T) {
	h := newHouse(t)
	h.ok()
	if !strings.Contains(h.log.String(), `"msg":"sync cycle complete"`) {
		t.Error("not logged as complete")
	}
}

func TestAutoManage(t *testing.T) {
	h := newHouse(t)
	h.policy.AutoManage = true
	h.sim.Add(time4vpstest.Server{ID: 1}, time4vpstest.Server{ID: 2}, time4vpstest.Server{ID: 3, IP: "-"})
	h.ok()
	if !h.reg.by("1").IsManaged {
		t.Error("not managed")
	}
	if h.reg.by("3").IsManaged {
		t.Error("managed before it has an address, by which it may be a ghost")
	}
	h.reg.edit("1", func(r *sync.Row) { r.Intent, r.IsManaged = sync.No, false })
	h.policy.AutoManage = false
	h.reg.edit("2", func(r *sync.Row) { r.Intent = sync.Yes })
	h.ok()
	if h.reg.by("1").IsManaged || !h.reg.by("2").IsManaged {
		t.Error("the operator's word does not stick")
	}
}

func TestGhostsAreNeverManaged(t *testing.T) {
	h := newHouse(t)
	h.policy = sync.Policy{AutoManage: true, Ghosts: sync.SplitGhosts("300001, 198.18.0.2 , ::ffff:198.18.0.3")}
	h.sim.Populate(5)
	rep := h.ok()
	if rep.Ghosts != 3 || rep.Managed != 2 {
		t.Errorf("%+v", rep)
	}
	for _, id := range []string{"300001", "300002", "300003"} {
		if r := h.reg.by(id); !r.Ghost || r.IsManaged {
			t.Errorf("%s: %+v", id, r)
		}
	}
	// Rows that exist, whoever says otherwise, and by our own id too.
	h.reg.edit("300004", func(r *sync.Row) { r.Intent, r.Status = sync.Yes, sync.InUse })
	h.policy.Ghosts = []string{h.reg.by("300004").ID, "300005"}
	rep = h.ok()
	if r := h.reg.by("300004"); !r.Ghost || r.IsManaged || r.Status != sync.InUse {
		t.Errorf("ghost beats the operator's yes, and keeps the operational status: %+v", r)
	}
	if rep.Demoted != 2 || !strings.Contains(h.log.String(), "many servers are no longer managed") {
		t.Errorf("a mass demotion goes unseen: %+v", rep)
	}
	if r := h.reg.by("300001"); r.Ghost || !r.IsManaged {
		t.Errorf("a ghost no more: %+v", r)
	}
	h.policy.Ghosts = nil
	h.ok()
	if !h.reg.by("300004").IsManaged {
		t.Error("the intent was lost")
	}
}

func TestAMissingRowCanBecomeAGhost(t *testing.T) {
	h := newHouse(t)
	h.policy.AutoManage = true
	h.sim.Populate(8)
	h.ok()
	h.sim.Remove(300001)
	h.policy.Ghosts = []string{"198.18.0.1"}
	h.ok()
	if r := h.reg.by("300001"); !r.Ghost || r.IsManaged {
		t.Errorf("%+v", r)
	}
}

func TestAMalformedGhostListStopsTheCycle(t *testing.T) {
	for _, bad := range []string{"web1", "300001,", ",", "1;2", "198.18.0.300", "198.18.0.0/24", "-1", "007", "0", "fe80::1%eth0", "srv_x", "300001 300002"} {
		h := newHouse(t)
		h.policy = sync.Policy{AutoManage: true, Ghosts: sync.SplitGhosts(bad)}
		h.sim.Populate(1)
		h.fails(fault.InvalidArgument)
		if len(h.reg.rows) != 0 || h.sim.Requests("") != 0 {
			t.Errorf("%q: the cycle went on", bad)
		}
	}
	for _, good := range []string{"", "  ", "300001", "2001:db8::1", " 1 , 203.0.113.7 "} {
		if _, err := sync.ParseGhosts(sync.SplitGhosts(good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestPromotionAndDemotionNeverScheduleWork(t *testing.T) {
	for _, c := range []struct{ was, promoted sync.Status }{
		{sync.PendingSetup, sync.Reserved}, {sync.Provisioning, sync.Reserved}, {sync.ForceRebuild, sync.Reserved},
		{sync.Ready, sync.Ready}, {sync.InUse, sync.InUse}, {sync.Error, sync.Error}, {sync.Discovered, sync.Discovered},
	} {
		for _, promote := range []bool{true, false} {
			h := newHouse(t)
			h.sim.Populate(1)
			h.ok()
			h.reg.edit("300001", func(r *sync.Row) { r.Status, r.IsManaged = c.was, !promote })
			h.policy.AutoManage = promote
			rep := h.ok()
			if r := h.reg.by("300001"); r.Status != c.promoted || r.IsManaged != promote || rep.Promoted+rep.Demoted != 1 {
				t.Errorf("%s, promote %t: %+v", c.was, promote, r)
			}
		}
	}
}

func TestAnAddressChangeIsKeyedByID(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(2)
	h.ok()
	was := h.reg.by("300001")
	h.sim.Edit(300001, func(s *time4vpstest.Server) { s.IP = "203.0.113.99" })
	h.sim.Edit(300002, func(s *time4vpstest.Server) { s.IP = "198.18.0.1" }) // takes over the old one
	rep := h.ok()
	r := h.reg.by("300001")
	if rep.New != 0 || rep.Moved != 2 || r.ID != was.ID || r.Prints[sync.FieldIP] == was.Prints[sync.FieldIP] || len(h.reg.rows) != 2 {
		t.Errorf("%+v", rep)
	}
	if !is(h.sealed("300001", sync.FieldIP), "203.0.113.99") || !is(h.sealed("300002", sync.FieldIP), "198.18.0.1") {
		t.Error("the new addresses are not sealed")
	}
	// An empty address says nothing; it does not erase.
	h.sim.Edit(300001, func(s *time4vpstest.Server) { s.IP = "" })
	h.ok()
	if !is(h.sealed("300001", sync.FieldIP), "203.0.113.99") || h.reg.by("300001").Prints[sync.FieldIP] != r.Prints[sync.FieldIP] {
		t.Error("the address was erased")
	}
}

func TestALegacyRowIsMatchedByItsAddressOnce(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(3)
	print := func(ip string) map[string]string {
		return map[string]string{sync.FieldIP: h.reg.Print(sync.FieldIP, secret.FromString(ip))}
	}
	h.reg.put("time4vps", sync.Row{ID: "srv_old", Prints: print("198.18.0.2"), Status: sync.Ready, Intent: sync.Yes, IsManaged: true})
	h.reg.put("time4vps", sync.Row{ID: "srv_stray", Prints: print("203.0.113.200"), Status: sync.Ready})
	h.sim.Edit(300003, func(s *time4vpstest.Server) { s.IP = "198.18.0.1" }) // two records have it now
	h.reg.put("time4vps", sync.Row{ID: "srv_twin", Prints: print("198.18.0.1"), Status: sync.Ready})
	rep := h.ok()
	if r := h.reg.by("300002"); r.ID != "srv_old" || r.Status != sync.Ready || !r.IsManaged {
		t.Errorf("%+v", r)
	}
	if rep.New != 2 || h.reg.rows["srv_stray"].Status != sync.Ready || h.reg.rows["srv_twin"].ProviderID != "" {
		t.Errorf("an ambiguous or unknown address was matched: %+v", rep)
	}
}

func TestRowsOfOthersAreNeverTouched(t *testing.T) {
	h := newHouse(t)
	h.policy.Ghosts = []string{"300001"}
	h.sim.Populate(1)
	foreign := sync.Row{ID: "srv_by_hand", ProviderID: "300001", Status: sync.Active, IsManaged: true}
	h.reg.put("", foreign)
	other := sync.Row{ID: "srv_other", ProviderID: "300009", Status: sync.Active, IsManaged: true}
	h.reg.put("another", other)
	for range 20 {
		h.ok()
	}
	if fmt.Sprint(h.reg.rows["srv_by_hand"]) != fmt.Sprint(foreign) || fmt.Sprint(h.reg.rows["srv_other"]) != fmt.Sprint(other) {
		t.Error("a row that is not ours was changed")
	}
}

func TestBadRecordsStopNothing(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(3)
	for i, raw := range []string{`{"ip":"198.18.9.1"}`, `null`, `{"server_id":300001,"ip":"198.18.9.9"}`, `{"server_id":77,"ip":"not an ip"}`} {
		h.sim.Add(time4vpstest.Server{ID: 900 + i, Raw: raw})
	}
	h.sim.Add(time4vpstest.Server{ID: 901, IP: "-"})
	h.sim.Edit(300002, func(s *time4vpstest.Server) { s.RawDetails = `<html>` })
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/77", Reply: time4vpstest.Raw(200, `{"status":"Active","cpu_cores":1}`)})
	rep := h.fails(fault.SyncIncomplete)
	if !rep.Applied || rep.New != 5 || rep.Skipped != 2 || rep.Problems[fault.ProviderReply] != 2 || rep.Refreshed != 4 {
		t.Errorf("%+v", rep)
	}
	h.status("901", sync.New)
	h.status("77", sync.New)
	if !is(h.sealed("300001", sync.FieldIP), "198.18.0.1") {
		t.Error("a second record of the same id won")
	}
	if strings.Contains(h.log.String(), "sync cycle complete") {
		t.Error("logged as complete")
	}
	h.sim.Edit(901, func(s *time4vpstest.Server) { s.IP = "198.18.9.2" })
	h.cycle()
	h.status("901", sync.Discovered)
	if n := strings.Count(h.log.String(), "the rest was stored"); n != 2 { // problems changed once: the details are not asked again at once
		t.Errorf("logged %d times", n)
	}
}

func TestFailedDetailsKeepTheOldNumbersAndTheirAge(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(2)
	h.ok()
	was := h.reg.by("300001")
	h.sim.Edit(300001, func(s *time4vpstest.Server) { s.RAMMB = 8192; s.UsedRAMMB = 1 })
	h.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001", Reply: time4vpstest.Outage(500)})
	h.pass(10 * time.Minute)
	rep := h.fails(fault.SyncIncomplete)
	if r := h.reg.by("300001"); r.RAMMB != was.RAMMB || !r.ObservedAt.Equal(was.ObservedAt) || rep.Problems[fault.ProviderUnavailable] != 1 || rep.Refreshed != 1 {
		t.Errorf("%+v %+v", r, rep)
	}
	h.ok() // not asked again at once
	h.sim.Clear()
	h.pass(10 * time.Minute)
	h.ok()
	if r := h.reg.by("300001"); r.RAMMB != 8192 || r.UsedRAMMB != 1 {
		t.Errorf("%+v", r)
	}
}

func TestNullNumbersKeepTheOldOnes(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(1)
	h.ok()
	h.sim.Edit(300001, func(s *time4vpstest.Server) {
		s.RawDetails = `{"status":"Active","cpu_cores":null,"ram_limit":"","disk_limit":5}`
	})
	h.pass(10 * time.Minute)
	h.ok()
	if r := h.reg.by("300001"); r.CPU != 2 || r.RAMMB != 4096 || r.DiskMB != 5 || r.OS == "" {
		t.Errorf("%+v", r)
	}
}

func TestUsageIsNotOverwrittenAfterAHealthCheck(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(1)
	h.ok()
	at := h.clock()
	h.reg.edit("300001", func(r *sync.Row) { r.HealthAt, r.ObservedAt, r.UsedRAMMB, r.UsedDiskMB = at, at, 100, 200 })
	h.sim.Edit(300001, func(s *time4vpstest.Server) { s.UsedRAMMB, s.RAMMB = 4000, 8192 })
	h.pass(10 * time.Minute)
	h.ok()
	if r := h.reg.by("300001"); r.UsedRAMMB != 100 || r.UsedDiskMB != 200 || r.RAMMB != 8192 || !r.ObservedAt.Equal(at) {
		t.Errorf("%+v", r)
	}
}
