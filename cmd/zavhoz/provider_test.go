//go:build unix

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/web/api"
)

// TestServersOfAProvider plays the servers' part of the manual against the simulator: list, sync, manage, adopt, and an outage that everyone sees.
func TestServersOfAProvider(t *testing.T) {
	t.Parallel()
	sim := time4vpstest.New()
	sim.SetLogin("owner@example.org", "correct-horse-battery-9")
	sim.Populate(3)
	running, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	p := initialised(t)
	p.okIn("correct-horse-battery-9", "resource", "add", "api_key", "time4vps", "--set", "service=time4vps", "--set", "username=owner@example.org", "--secret", "key=-")
	p.stop()
	p.configure(`resource: ""`, "resource: time4vps")
	p.configure("base_url: https://billing.time4vps.com/api", "base_url: "+running.URL)
	p.configure(`schedule: "@every 1m"`, `schedule: "@every 1h"`)

	// the configuration alone does not decide where the login goes: the sealed host rules of its resource do
	p.run("", "server", "sync")
	if n := sim.Requests(""); n != 0 {
		t.Fatalf("the login was sent %d times to a host that its rules do not name", n)
	}
	p.ok("resource", "policy", "time4vps", "--host", strings.TrimSuffix(strings.TrimPrefix(running.URL, "http://"), "/api"))
	if out := p.ok("server", "sync"); out == "" {
		t.Error("a cycle's report is empty")
	}
	servers := func() (s api.Servers) {
		decode(t, p.ok("server", "list", "--json"), &s)
		return s
	}
	all := servers()
	if len(all.Items) != 3 || !all.Sync.Configured || all.Sync.Failing || all.Sync.AgeS == nil {
		t.Fatalf("%+v", all)
	}
	first := all.Items[0].ID
	p.ok("server", "manage", first)
	if s := servers(); !s.Items[slices.IndexFunc(s.Items, func(x api.Server) bool { return x.ID == first })].IsManaged {
		t.Errorf("%s is not managed: %+v", first, s)
	}
	p.ok("server", "unmanage", first)
	if s := servers(); slices.ContainsFunc(s.Items, func(x api.Server) bool { return x.IsManaged }) {
		t.Errorf("%+v", s)
	}

	// adopted, it is a resource: with the address that the provider told, which nobody typed and nobody sees
	out := p.okIn("swordfish-swordfish", "server", "adopt", first, "prod_vps_1", "--set", "user=root", "--secret", "password=-")
	if !strings.Contains(out, "Added prod_vps_1 (server)") || !strings.Contains(out, "--pin-host-key") {
		t.Errorf("adopt said: %s", out)
	}
	p.ok("server", "manage", "prod_vps_1")
	d := p.open()
	d.greet()
	var found struct {
		Servers []struct {
			Handle string `json:"handle"`
		} `json:"servers"`
	}
	d.tool("list_managed_servers", map[string]any{}, &found)
	if len(found.Servers) != 1 || found.Servers[0].Handle != "prod_vps_1" {
		t.Errorf("an agent sees %+v", found)
	}

	// what an agent was given is reserved, and the person sees of what, and by whom
	var lease struct {
		Ports []int `json:"ports"`
	}
	d.tool("allocate_resource", map[string]any{"kind": "server", "purpose": "the weather bot", "requirements": map[string]any{"ram_mb": 100, "ports": []int{0}}}, &lease)
	var s api.Server
	decode(t, p.ok("server", "show", "prod_vps_1", "--json"), &s)
	if len(lease.Ports) != 1 || s.ReservedRAMMB != 100 || s.KeptRAMMB != 256 || s.UsedRAMMB == 0 || s.FreeRAMMB != s.RAMMB-256-max(100, s.UsedRAMMB) {
		t.Errorf("lease %+v of %+v", lease, s)
	}
	if out := p.ok("server", "show", "prod_vps_1"); !strings.Contains(out, "memory MB") || !strings.Contains(out, "managed yes") {
		t.Errorf("show said: %s", out)
	}
	if out := p.ok("server", "ports", first); !strings.Contains(out, "the weather bot") || !strings.Contains(out, "8000") || !strings.Contains(out, "8000-29999; the next is 8001") {
		t.Errorf("ports said: %s", out)
	}

	// a provider that is away: the code, and the age on every answer; what was known stays
	sim.Fail(time4vpstest.Outage(503))
	if r := p.run("", "server", "sync", "--json"); r.code != 8 || !strings.Contains(r.stderr, `"provider_unavailable"`) {
		t.Errorf("sync in an outage: %v", r)
	}
	r := p.run("", "server", "list")
	if r.code != 0 || !strings.Contains(r.stderr, "FAILING (provider_unavailable") || strings.Count(r.stdout, "time4vps:") != 3 {
		t.Errorf("list in an outage: %v", r)
	}
	if r := p.run("", "doctor"); r.code != 9 || !strings.Contains(r.stdout, "BAD  sync") {
		t.Errorf("doctor in an outage: %v", r)
	}
}
