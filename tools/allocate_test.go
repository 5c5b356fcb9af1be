//go:build unix

package tools_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func ask(ram int) string {
	return fmt.Sprintf(`{"kind":"server","purpose":"x","requirements":{"ram_mb":%d,"disk_mb":1024}}`, ram)
}

// The refusals of capacity, in the order of precedence that is documented: what outranks what, over several servers.
func TestCapacityRefusalsHaveAnOrder(t *testing.T) {
	small := machine{ram: 512, disk: 2048, cpu: 1}
	away := machine{ram: 4096, disk: 40960, cpu: 2, status: "maintenance"}
	stale := machine{ram: 4096, disk: 40960, cpu: 2, age: 6 * time.Minute}
	full := machine{ram: 4096, disk: 40960, cpu: 2, usedRAM: 3500}
	unmanaged := machine{ram: 65536, disk: 40960, cpu: 2, unmanaged: true}
	for _, c := range []struct {
		name     string
		machines []machine
		reserve  bool // another lease holds what is left of the last one
		want     fault.Code
	}{
		{"none could ever", []machine{small}, false, fault.ImpossibleCapacity},
		{"none that is managed could ever", []machine{small, unmanaged}, false, fault.ImpossibleCapacity},
		{"one could, but is away", []machine{small, away, stale, full}, true, fault.ServerNotReady},
		{"only what is not managed", []machine{unmanaged}, false, fault.ServerNotReady},
		{"old numbers", []machine{small, stale, full}, true, fault.StaleMetrics},
		{"reserved", []machine{small, full, {ram: 4096, disk: 40960, cpu: 2}}, true, fault.FreeMemory}, // memory is told before disk
		{"disk reserved", []machine{small, {ram: 4096, disk: 40960, cpu: 2}}, true, fault.ReservedDisk},
		{"in use", []machine{small, full}, false, fault.FreeMemory},
		{"disk in use", []machine{{ram: 4096, disk: 2048, cpu: 2, usedDsk: 1800}}, false, fault.FreeDisk},
		{"disk too small", []machine{{ram: 4096, disk: 512, cpu: 2}}, false, fault.ImpossibleCapacity},
		{"one is free", []machine{small, away, stale, full, {ram: 2048, disk: 40960, cpu: 2}}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			ids := h.sees(c.machines...)
			for i, id := range ids {
				h.adopt(id, fmt.Sprintf("s%d", i))
				if m := c.machines[i]; m.unmanaged || m.status != "" {
					h.change(id, func(s *vault.Server) { s.IsManaged = !m.unmanaged; s.Status = "maintenance" })
				}
			}
			local := h.connect("", false)
			if c.reserve {
				local.ok("allocate_resource", fmt.Sprintf(`{"handle":"s%d","purpose":"first","requirements":{"cpu":1}}`, last(c.machines)))
				local.ok("allocate_resource", fmt.Sprintf(`{"handle":"s%d","purpose":"second","requirements":{"disk_mb":40000}}`, last(c.machines)))
			}
			if c.want == "" {
				if got := local.ok("allocate_resource", ask(1024)).str("handle"); got != "s4" {
					t.Errorf("gave %s", got)
				}
				return
			}
			r := local.refused(c.want, "allocate_resource", ask(1024))
			if !strings.Contains(string(r.Data), `"required_ram_mb":1024`) || r.Next == "" {
				t.Errorf("%s", r.Data)
			}
		})
	}
}

// last is the server that the table's reservation is made on: the last that takes work.
func last(machines []machine) int { return len(machines) - 1 }

// The largest remainder wins, reservations count at once, and releasing gives them back.
func TestCapacityIsHeldByLeases(t *testing.T) {
	h := newHouse(t)
	for i, id := range h.sees(machine{ram: 2048, disk: 20480, cpu: 2}, machine{ram: 4096, disk: 20480, cpu: 2}) {
		h.adopt(id, fmt.Sprintf("s%d", i))
	}
	c := h.connect("", false)
	var leases, handles []string
	for range 3 {
		r := c.ok("allocate_resource", ask(1500))
		leases, handles = append(leases, r.str("lease_id")), append(handles, r.str("handle"))
	}
	if !slices.Equal(handles, []string{"s1", "s1", "s0"}) {
		t.Errorf("went to %v", handles)
	}
	c.refused(fault.ReservedMemory, "allocate_resource", ask(1500))
	c.ok("release_resource", `{"lease_id":"`+leases[0]+`"}`)
	if got := c.ok("allocate_resource", ask(1500)).str("handle"); got != "s1" {
		t.Errorf("then %s", got)
	}
	h.pass(2 * time.Hour) // every lease is over, and the numbers are old
	c.refused(fault.StaleMetrics, "allocate_resource", ask(1))
}

func TestPortsAreLeased(t *testing.T) {
	h := newHouse(t)
	h.addServer("s")
	c := h.connect("", false)
	first := c.ok("allocate_resource", `{"handle":"s","purpose":"x","requirements":{"ports":[0,8001]}}`)
	if got := fmt.Sprint(first.list("ports")); got != "[8000 8001]" {
		t.Errorf("ports %s", got)
	}
	if got := fmt.Sprint(c.ok("allocate_resource", `{"handle":"s","purpose":"x","requirements":{"ports":[0]}}`).list("ports")); got != "[8002]" {
		t.Errorf("ports %s", got)
	}
	c.refused(fault.NoFreePort, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"ports":[8001]}}`, "port 0")
	c.refused(fault.PortNotAllowed, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"ports":[22]}}`, "port 0", "`zavhoz server ports s`")
	named := c.ok("allocate_resource", `{"handle":"s","purpose":"x","requirements":{"services":{"web":0,"backend":0,"db":5432}}}`)
	if got := fmt.Sprint(named.get("services")); got != "map[backend:8003 db:5432 web:8004]" || len(named.list("ports")) != 0 {
		t.Errorf("services %s of %s", got, named.Data)
	}
	c.refused(fault.InvalidArgument, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"services":{"Web":0}}}`)
	c.refused(fault.InvalidArgument, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"services":{"web":"0"}}}`)
	c.refused(fault.ServerNotReady, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"ram_mb":1}}`, "zavhoz server adopt")
}

// A dry run tells what the call would, and takes nothing.
func TestADryRunLeasesNothing(t *testing.T) {
	h := newHouse(t)
	h.addServer("s")
	c := h.connect("", false)
	const q = `{"kind":"server","purpose":"x","requirements":{"ports":[0]},"dry_run":`
	for range 2 {
		r := c.ok("allocate_resource", q+"true}")
		if r.str("handle") != "s" || r.str("lease_id") != "" || r.get("dry_run") != true || fmt.Sprint(r.list("ports")) != "[8000]" || !strings.Contains(r.Text, "would be yours") {
			t.Errorf("%s %s", r.Text, r.Data)
		}
	}
	if r := c.ok("allocate_resource", q+"false}"); r.str("lease_id") == "" || r.get("dry_run") != false || fmt.Sprint(r.list("ports")) != "[8000]" {
		t.Errorf("%s", r.Data)
	}
	c.refused(fault.ServerNotReady, "allocate_resource", `{"handle":"s","purpose":"x","requirements":{"cpu":1},"dry_run":true}`)
}

func TestIdempotencyKeys(t *testing.T) {
	h := newHouse(t)
	h.addBot("b", policy.Policy{})
	c, other := h.connect("", false), h.connect(h.agent(vault.NewAgent{Name: "other"}), false)
	const q = `{"handle":"b","purpose":"x","idempotency_key":"k"}`
	first := c.ok("allocate_resource", q)
	again := c.ok("allocate_resource", q)
	if first.str("lease_id") != again.str("lease_id") || again.get("repeated") != true || first.get("repeated") != false {
		t.Errorf("%s then %s", first.Data, again.Data)
	}
	if other.ok("allocate_resource", q).str("lease_id") == first.str("lease_id") {
		t.Error("another agent's key gave this one's lease")
	}
	c.refused(fault.IdempotencyMismatch, "allocate_resource", `{"handle":"b","purpose":"y","idempotency_key":"k"}`, "fresh key")
	h.pass(time.Hour)
	if fresh := c.ok("allocate_resource", q); fresh.str("lease_id") == first.str("lease_id") || fresh.get("repeated") != false {
		t.Errorf("an expired lease came back: %s", fresh.Data)
	}
}

func TestLeaseTimes(t *testing.T) {
	h := newHouse(t)
	h.addBot("b", policy.Policy{MaxTTL: 600})
	h.addBot("soon", policy.Policy{Expires: h.clock().Add(90 * time.Second)})
	c := h.connect("", false)
	for args, want := range map[string]float64{`{"handle":"b","purpose":"x"}`: 600, `{"handle":"b","purpose":"x","ttl_s":60}`: 60, `{"handle":"b","purpose":"x","ttl_s":86400}`: 600, `{"handle":"soon","purpose":"x"}`: 90} {
		if got := c.ok("allocate_resource", args).get("expires_in_s"); got != want {
			t.Errorf("%s: %v s", args, got)
		}
	}
}

// What is off, over or used up says so and names the command that a person would type.
func TestTypedRefusalsOfAllocation(t *testing.T) {
	h := newHouse(t)
	off := vault.Disabled
	h.addBot("off", policy.Policy{})
	_, err := h.EditResource(ctx, operator, "off", vault.Edit{Status: &off})
	must(t, err)
	h.addBot("over", policy.Policy{Expires: h.clock().Add(time.Minute)})
	h.addBot("others", policy.Policy{Agents: []string{"ci"}})
	c := h.connect("", false)
	h.pass(time.Minute)
	for handle, want := range map[string]struct {
		code fault.Code
		next string
	}{
		"off":     {fault.ResourceDisabled, "`zavhoz resource edit off --status active`"},
		"over":    {fault.ResourceExpired, "`zavhoz resource policy over --expires …`"},
		"others":  {fault.UnknownResource, "list_resources"},
		"nothing": {fault.UnknownResource, "list_resources"},
	} {
		c.refused(want.code, "allocate_resource", `{"handle":"`+handle+`","purpose":"x"}`, want.next)
	}
	c.refused(fault.NoneAvailable, "allocate_resource", `{"kind":"database","purpose":"x"}`, "`zavhoz resource add database HANDLE …`")
	c.refused(fault.ResourceExpired, "allocate_resource", `{"kind":"telegram_bot","purpose":"x"}`) // all that there are
	c.refused(fault.UnknownKind, "allocate_resource", `{"kind":"yacht","purpose":"x"}`, "telegram_bot")
	c.refused(fault.InvalidArgument, "allocate_resource", `{"purpose":"x"}`, "list_resources")
	c.refused(fault.InvalidArgument, "allocate_resource", `{"handle":"off","kind":"server","purpose":"x"}`)
	if codes := h.denials(audit.LeaseAllocate); len(codes) < 5 {
		t.Errorf("refusals on record: %v", codes)
	}
}

// 200 characters are 200 in any script: what the schema takes, the vault takes.
func TestPurposesInAnyScript(t *testing.T) {
	h := newHouse(t)
	h.addBot("b", policy.Policy{})
	c := h.connect("", false)
	c.ok("allocate_resource", `{"handle":"b","purpose":"`+strings.Repeat("ы", 200)+`","context":"`+strings.Repeat("語", 200)+`"}`)
	c.refused(fault.InvalidArgument, "allocate_resource", `{"handle":"b","purpose":"`+strings.Repeat("ы", 201)+`"}`)
}
