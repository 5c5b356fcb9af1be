//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// scriptDoctor runs doctor twice: with --json to learn what this machine offers, and as it was asked for.
func scriptDoctor(ts *testscript.TestScript, neg bool, args []string) {
	code := func(args ...string) int {
		var exit *exec.ExitError
		switch err := ts.Exec("zavhoz", append([]string{"doctor"}, args...)...); {
		case errors.As(err, &exit):
			return exit.ExitCode()
		case err != nil:
			ts.Fatalf("%v", err)
		}
		return 0
	}
	got := code("--json")
	var f findings
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &f))
	if why := unsound(f, got); why != "" || neg {
		ts.Fatalf("%s: %s", why, ts.ReadFile("stdout"))
	}
	if again := code(args...); again != got {
		ts.Fatalf("exit code %d, then %d", got, again)
	}
}

// unsound says what is wrong with what doctor told of a sound installation, with the exit code it gave.
func unsound(f findings, code int) string {
	want := 0
	if !policy.Level(f.Level).Meets(leastLevel()) {
		want = fault.IsolationMissing.Of().Exit
	}
	if _, err := policy.ParseLevel(f.Level); err != nil {
		return "no level"
	}
	for _, c := range f.Checks {
		if !c.OK && c.Name != "isolation" {
			return c.Name + " is broken"
		}
		if c.Name == "isolation" && c.OK != (want == 0) {
			return "the isolation is judged wrongly"
		}
	}
	if code != want {
		return "the exit code is not that of the isolation"
	}
	return ""
}

// Without a daemon doctor tries by itself, and says what is broken first.
func TestDoctorWithoutDaemon(t *testing.T) {
	p := newPlace(t)
	r := p.run("", "doctor", "--json")
	var f findings
	decode(t, r.stdout, &f)
	if r.code != fault.NotInitialized.Of().Exit || len(f.Checks) != 2 || f.Checks[0].Code != fault.NotInitialized || f.Checks[1].Name != "isolation" {
		t.Errorf("doctor where no vault is: %v", r)
	}
	if here := probeHere(t.Context()); f.Level != here.Level || len(f.Features) != len(here.Features) {
		t.Errorf("doctor says %+v, a probe here %+v", f.Isolation, here)
	}
}

// What the daemon says of its isolation is what doctor and status say.
func TestDoctorAsksTheDaemon(t *testing.T) {
	p := initialised(t)
	s := p.status()
	r := p.run("", "doctor", "--json")
	var f findings
	decode(t, r.stdout, &f)
	if f.Level != s.Isolation || len(f.Features) != len(s.Features) || unsound(f, r.code) != "" {
		t.Errorf("doctor says %v (%s), the daemon %+v", r, unsound(f, r.code), s)
	}
	if out := p.ok("status"); !strings.Contains(out, "isolation: "+s.Isolation) {
		t.Errorf("status says %s", out)
	}
}

var (
	filter = sandbox.Feature{Name: "system call filter", OK: true}
	spaces = sandbox.Feature{Name: "namespaces", Lost: "a run shares\nthe network", Fix: "sysctl -w user.max_user_namespaces=10000"}
)

func TestIsolationIsJudged(t *testing.T) {
	for _, c := range []struct {
		report        sandbox.Report
		ok, warning   bool
		note, printed string
		line          string
	}{
		{sandbox.Report{Level: policy.LevelSealed, Features: []sandbox.Feature{filter}}, true, false, "sealed, lost: nothing", "ok   system call filter", "isolation: sealed"},
		{sandbox.Report{Level: policy.LevelVaulted}, true, false, "vaulted, lost: nothing", "", "isolation: vaulted"},
		{sandbox.Report{Level: policy.LevelBasic, Features: []sandbox.Feature{filter, spaces}}, true, true, "basic, lost: namespaces", "get it: sysctl", "isolation: basic; lost: namespaces (see zavhoz doctor)"},
		{sandbox.Report{Level: policy.LevelOpen, Features: []sandbox.Feature{spaces}}, false, false, "confines no command", "LOST namespaces           a run shares·the network", "isolation: open (only pinned commands and ssh run; see zavhoz doctor)"},
		{sandbox.Report{Level: policy.LevelOpen}, false, false, "confines no command", "Isolation: open", "isolation: open (only"},
	} {
		f := &findings{Isolation: isolationOf(c.report)}
		f.judgeIsolation()
		got := f.Checks[0]
		if got.OK != c.ok || got.Warning != c.warning || !strings.Contains(got.Note, c.note) || c.ok != (got.Code == "") || (!c.ok || c.warning) == (got.Next == "") {
			t.Errorf("%+v is judged %+v", c.report, got)
		}
		if !c.ok && got.Code != fault.IsolationMissing {
			t.Errorf("%+v has the code %s", c.report, got.Code)
		}
		var out bytes.Buffer
		f.print(&out)
		if !strings.Contains(out.String(), c.printed) {
			t.Errorf("%+v is printed as\n%s", c.report, out.String())
		}
		if l := isolationLine(f.Level, f.Features); !strings.HasPrefix(l, c.line) {
			t.Errorf("%+v in one line: %s", c.report, l)
		}
	}
}

// The first way to get what is lost is the next step.
func TestIsolationNextStep(t *testing.T) {
	err := isolationFault(api.Isolation{Level: "open", Features: isolationOf(sandbox.Report{Features: []sandbox.Feature{filter, spaces}}).Features})
	if f := fault.Of(err); f.Next != spaces.Fix {
		t.Errorf("the next step is %q", f.Next)
	}
}
