//go:build unix

package tools_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func runCall(ref string, command ...string) string {
	return `{"resources":[` + quote(ref) + `],"command":` + quote(command) + `}`
}

// TestAttack63_TheToolsAskEveryTime: another agent's lease, one that is over, used up or released, a resource that was taken away since.
func TestAttack63_TheToolsAskEveryTime(t *testing.T) {
	h := newHouse(t)
	tool := script(t, "true")
	h.addBot("b", pinned(tool))
	mine, other := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), h.connect(h.agent(vault.NewAgent{Name: "other"}), false)
	lease := func(more string) string {
		return mine.ok("allocate_resource", `{"handle":"b","purpose":"x"`+more+`}`).str("lease_id")
	}
	l := lease("")
	mine.ok("run_with_resource", runCall(l, tool))
	other.refused(fault.LeaseNotYours, "run_with_resource", runCall(l, tool), "allocate_resource")
	other.refused(fault.UnknownLease, "release_resource", `{"lease_id":"`+l+`"}`, "allocate_resource")
	mine.ok("release_resource", `{"lease_id":"`+l+`"}`)
	mine.refused(fault.LeaseReleased, "run_with_resource", runCall(l, tool), "allocate_resource")

	short, twice := lease(`,"ttl_s":60`), lease(`,"max_uses":2`)
	for range 2 {
		mine.ok("run_with_resource", runCall(twice, tool))
	}
	mine.refused(fault.LeaseExhausted, "run_with_resource", runCall(twice, tool), "allocate_resource")
	h.pass(time.Minute)
	mine.refused(fault.LeaseExpired, "run_with_resource", runCall(short, tool), "allocate_resource")

	kept := lease("")
	p := pinned(tool)
	p.Agents = []string{"other"}
	h.setPolicy("b", p)
	mine.refused(fault.UnknownResource, "run_with_resource", runCall(kept, tool))
	other.ok("run_with_resource", runCall("b", tool))
}

// TestAttack64_OnlyOnesOwnRuns: another agent neither reads nor stops a run, nor sees it in a status.
func TestAttack64_OnlyOnesOwnRuns(t *testing.T) {
	h := newHouse(t)
	tool := script(t, "sleep 600")
	h.addBot("b", pinned(tool))
	mine, other := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), h.connect(h.agent(vault.NewAgent{Name: "other"}), false)
	id := mine.ok("run_with_resource", `{"resources":["b"],"command":[`+quote(tool)+`],"background":true}`).str("run_id")
	for _, tool := range []string{"get_run", "stop_run"} {
		other.refused(fault.RunNotYours, tool, `{"run_id":"`+id+`"}`)
	}
	if r := other.ok("get_status", `{}`); len(r.list("runs")) != 0 {
		t.Errorf("%s", r.Data)
	}
	if r := mine.ok("get_status", `{}`); len(r.list("runs")) != 1 {
		t.Errorf("%s", r.Data)
	}
	if r := mine.ok("stop_run", `{"run_id":"`+id+`"}`); r.str("state") != "stopped" {
		t.Errorf("%s", r.Data)
	}
}

// What policy refuses names the command that a person would type, and is on record. No walls stand here.
func TestPoliciesOfRuns(t *testing.T) {
	h := newHouse(t)
	tool := script(t, "true")
	with := func(f func(*policy.Policy)) policy.Policy {
		p := pinned(tool)
		f(&p)
		return p
	}
	h.addBot("plain", policy.Policy{})
	h.addBot("pinned", pinned(tool))
	h.addBot("no_env", with(func(p *policy.Policy) { p.Deliveries = []policy.Delivery{policy.Broker} }))
	h.addBot("asks", with(func(p *policy.Policy) { p.Approval = "always" }))
	h.addBot("walled", with(func(p *policy.Policy) { p.MinLevel = policy.LevelBasic }))
	h.addBot("once", with(func(p *policy.Policy) { p.MaxUses = 1 }))
	h.addBot("over", with(func(p *policy.Policy) { p.Expires = h.clock().Add(time.Hour) }))
	h.addServer("s")
	ci, local := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), h.connect("", false)
	h.pass(time.Hour)
	for _, c := range []struct {
		by      *client
		handle  string
		command []string
		want    fault.Code
		next    string
	}{
		{ci, "plain", []string{tool}, fault.IsolationMissing, "`zavhoz resource policy plain --pin NAME -- /absolute/program arg {n:int}`"},
		{ci, "plain", []string{"sh", "-c", "env"}, fault.IsolationMissing, "--pin"},
		{ci, "pinned", []string{tool, "more"}, fault.CommandMismatch, "list_resources"},
		{ci, "pinned", []string{"pin:nothing"}, fault.CommandNotPinned, ""},
		{ci, "no_env", []string{tool}, fault.DeliveryRefused, "zavhoz resource policy no_env --delivery env"},
		{ci, "asks", []string{"pin:tool"}, fault.ApprovalRequired, "`zavhoz approve apr_"},
		{ci, "walled", []string{tool}, fault.IsolationMissing, "zavhoz doctor"},
		{ci, "over", []string{tool}, fault.ResourceExpired, "`zavhoz resource policy over --expires …`"},
		{ci, "pinned", []string{"ssh", "pinned", "id"}, fault.DeliveryRefused, "--delivery ssh"},
		{ci, "s", []string{"ssh", "-v", "s"}, fault.IsolationMissing, "handle"},
		{ci, "s", []string{"ssh", "s", "id"}, fault.HostKeyUnknown, "zavhoz resource edit s --pin-host-key"},
		{ci, "s", []string{"uptime"}, fault.IsolationMissing, "zavhoz doctor"},
		{local, "pinned", []string{tool}, fault.DeliveryRefused, "`zavhoz resource policy pinned --agent local`"},
		{local, "pinned", []string{"pin:tool"}, fault.DeliveryRefused, "`zavhoz resource policy pinned --agent local`"},
	} {
		c.by.refused(c.want, "run_with_resource", runCall(c.handle, c.command...), c.next)
	}
	ci.ok("run_with_resource", runCall("once", tool))
	ci.refused(fault.ResourceExhausted, "run_with_resource", runCall("once", tool), "`zavhoz resource policy once --max-uses …`")
	ci.refused(fault.InvalidArgument, "run_with_resource", `{"resources":["pinned"],"command":[`+quote(tool)+`],"stdin":"x"}`)
	ci.refused(fault.WorkdirRefused, "run_with_resource", `{"resources":["pinned"],"command":[`+quote(tool)+`],"cwd":"/tmp"}`, "leave cwd out")
	ci.refused(fault.InvalidArgument, "run_with_resource", `{"resources":["pinned"],"command":[`+quote(tool)+`],"env":{"LD_PRELOAD":"x"}}`)

	p := pinned(tool)
	p.Agents = []string{"local"}
	h.setPolicy("pinned", p)
	local.ok("run_with_resource", runCall("pinned", tool)) // the command that the refusal named
	on := h.denials(audit.RunStart)
	for _, code := range []fault.Code{fault.CommandNotPinned, fault.CommandMismatch, fault.DeliveryRefused, fault.IsolationMissing, fault.WorkdirRefused} {
		if !slices.Contains(on, string(code)) {
			t.Errorf("no record of %s: %v", code, on)
		}
	}
}

// A long output comes back at its end; get_run reads it from the start, page by page.
func TestLongOutputIsCutAndPaged(t *testing.T) {
	h := newHouse(t)
	tool := script(t, `i=0; while [ $i -lt 6000 ]; do echo "líne $i"; i=$((i+1)); done`)
	h.addBot("b", pinned(tool))
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	r := c.ok("run_with_resource", runCall("b", tool))
	if out := r.str("stdout"); !strings.HasSuffix(out, "líne 5999\n") || len(r.Data) > maxReply || r.get("truncated") != true || !strings.Contains(r.Text, "get_run") {
		t.Errorf("%s %d bytes", r.Text, len(r.Data))
	}
	var all strings.Builder
	for at := 0.0; ; {
		p := c.ok("get_run", fmt.Sprintf(`{"run_id":%q,"offset":%.0f}`, r.str("run_id"), at))
		next, _ := p.get("next_offset").(float64)
		more := strings.Contains(p.Text, "More with next_offset")
		if all.WriteString(p.str("stdout")); len(p.Data) > maxReply || more != (next < r.get("next_offset").(float64)) {
			t.Fatalf("%s %d bytes", p.Text, len(p.Data))
		}
		if at = next; !more {
			break
		}
	}
	if got := all.String(); !strings.HasPrefix(got, "líne 0\nlíne 1\n") || !strings.HasSuffix(got, "líne 5998\nlíne 5999\n") || strings.Count(got, "\n") != 6000 {
		t.Errorf("read %d bytes", len(got))
	}
}

// A real command on a real server: the reply holds what it said, and not where it is.
func TestACommandOnAServer(t *testing.T) {
	srv := sshtest.Start(t, sshtest.Options{})
	h := newHouse(t)
	h.add(vault.NewResource{
		Kind: "server", Handle: "prod_vps_1", Attrs: map[string]string{"user": srv.User, "port": fmt.Sprint(srv.Port), "host_key": srv.HostKey}, Secrets: values("host", srv.Host, "ssh_key", string(srv.Key)),
	})
	c := h.connect("", true)
	r := c.ok("run_with_resource", runCall("prod_vps_1", "ssh", "prod_vps_1", "echo hello; echo $SSH_CONNECTION; exit 7"))
	if !strings.HasPrefix(r.str("stdout"), "hello\n") || strings.Contains(r.raw, srv.Host) || r.get("exit_code") != 7.0 || r.str("isolation") != "in_process" {
		t.Error(r.raw)
	}
	if l := c.ok("list_resources", `{}`); strings.Contains(l.raw, srv.Host) || strings.Contains(l.raw, "host_key") {
		t.Error(l.raw)
	}
}

// A run in the background that fails says why: in the words of the refusal, to whoever asks later, and after the daemon has ended.
func TestAFailedBackgroundRunSaysWhy(t *testing.T) {
	h := newHouse(t)
	tool := script(t, "true")
	h.addBot("b", pinned(tool))
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	if err := os.Chmod(tool, 0o777); err != nil { // anybody could change it: it does not start
		t.Fatal(err)
	}
	id := c.ok("run_with_resource", `{"resources":["b"],"command":[`+quote(tool)+`],"background":true}`).str("run_id")
	say := func(when string) {
		t.Helper()
		r := c.ok("get_run", `{"run_id":"`+id+`"}`)
		for r.str("state") == "running" {
			r = c.ok("get_run", `{"run_id":"`+id+`"}`)
		}
		why, _ := r.get("error").(map[string]any)
		if r.str("state") != "failed" || why["code"] != string(fault.DeliveryRefused) || why["message"] == "" || why["next"] == "" {
			t.Fatalf("%s: %s", when, r.Data)
		}
		for _, part := range []string{"code", "message", "next"} {
			if text, _ := why[part].(string); !strings.Contains(r.Text, text) {
				t.Errorf("%s: %q is not in %q", when, text, r.Text)
			}
		}
	}
	say("at once")
	h.pass(time.Hour) // the engine has forgotten it, as after a restart: what is told now is the record's
	say("from the record")

	slow := script(t, "exec sleep 600")
	h.addBot("slow", pinned(slow))
	long := c.ok("run_with_resource", `{"resources":["slow"],"command":[`+quote(slow)+`],"background":true,"timeout_s":1}`).str("run_id")
	for {
		r := c.ok("get_run", `{"run_id":"`+long+`"}`)
		if r.str("state") == "running" {
			continue
		}
		if why, _ := r.get("error").(map[string]any); why["code"] != string(fault.TimedOut) || !strings.Contains(r.Text, "background") {
			t.Errorf("%s %s", r.Text, r.Data)
		}
		break
	}
	odd := script(t, "exit 3")
	h.addBot("odd", pinned(odd))
	if r := c.ok("run_with_resource", runCall("odd", odd)); r.get("error") != nil { // it ended by itself
		t.Errorf("%s", r.Data)
	}
}
