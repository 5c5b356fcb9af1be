//go:build unix

package run_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// gated is a house whose script says "ready" and then waits for a line in a FIFO: tests steer it without sleeping.
func gated(t *testing.T, after string) (h *house, tool string, open func()) {
	fifo := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h, tool = botHouse(t, `echo "ready $BOT_TOKEN"; read line < `+fifo+`; `+after)
	return h, tool, func() {
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("go\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// collect pages through a run until it has ended.
func collect(t *testing.T, e *run.Engine, id string) (string, run.Result) {
	t.Helper()
	var all strings.Builder
	for at := int64(0); ; {
		r, err := e.Get(t.Context(), alice, id, at)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(r.Stdout)
		if r.State != vault.RunRunning && r.NextOffset == at {
			return all.String(), r
		}
		at = r.NextOffset
	}
}

func background(tool string) run.Request {
	r := request(tool)
	r.Background = true
	return r
}

func TestBackgroundRunsOutliveTheirDoor(t *testing.T) {
	h, tool, open := gated(t, `echo "after $BOT_TOKEN"; exit 4`)
	e := newEngine(t, h, nil)
	door, shut := context.WithCancel(t.Context())
	res, err := e.Run(door, background(tool))
	if err != nil || res.State != vault.RunRunning || res.RunID == "" {
		t.Fatalf("%+v %v", res, err)
	}
	shut()
	open()
	all, end := collect(t, e, res.RunID)
	if all != "ready [redacted:bot.token]\nafter [redacted:bot.token]\n" || end.State != vault.RunExited || end.ExitCode != 4 {
		t.Errorf("%q %+v", all, end)
	}
}

// Another agent neither reads nor stops it; the operator may.
func TestAttack64_RunsHaveAnOwner(t *testing.T) {
	h, tool, _ := gated(t, `true`)
	e := newEngine(t, h, nil)
	res := mustRun(t, e, background(tool))
	if _, err := e.Get(t.Context(), bob, res.RunID, 0); fault.CodeOf(err) != fault.RunNotYours {
		t.Errorf("read: %v", err)
	}
	if _, err := e.Stop(t.Context(), bob, res.RunID); fault.CodeOf(err) != fault.RunNotYours {
		t.Errorf("stop: %v", err)
	}
	if _, err := e.Get(t.Context(), alice, "run_guess", 0); fault.CodeOf(err) != fault.UnknownRun {
		t.Errorf("guess: %v", err)
	}
	if r, err := e.Get(t.Context(), alice, res.RunID, 0); err != nil || r.State != vault.RunRunning {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := e.Stop(t.Context(), person, res.RunID); err != nil || r.State != vault.RunStopped {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := e.Stop(t.Context(), alice, res.RunID); err != nil || r.State != vault.RunStopped {
		t.Errorf("stopping twice: %+v %v", r, err)
	}
}

func TestShutdownStopsAndRecords(t *testing.T) {
	h, tool, _ := gated(t, `true`)
	e := newEngine(t, h, nil)
	res := mustRun(t, e, background(tool))
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, _ := h.GetRun(t.Context(), alice, res.RunID); r.State != vault.RunStopped {
		t.Errorf("%+v", r)
	}
	if _, err := e.Run(t.Context(), request(tool)); fault.CodeOf(err) != fault.DaemonUnavailable {
		t.Errorf("%v", err)
	}
}

func TestRunsAtOnceAreBounded(t *testing.T) {
	h, tool, _ := gated(t, `true`)
	e := newEngine(t, h, func(o *run.Options) { o.Total = 3; o.PerAgent = func(vault.Actor) int { return 2 } })
	first := mustRun(t, e, background(tool))
	mustRun(t, e, background(tool))
	if _, err := e.Run(t.Context(), background(tool)); fault.CodeOf(err) != fault.Busy {
		t.Errorf("over the agent's limit: %v", err)
	}
	other := background(tool)
	other.Actor = bob
	mustRun(t, e, other)
	if _, err := e.Run(t.Context(), other); fault.CodeOf(err) != fault.Busy {
		t.Errorf("over the total: %v", err)
	}
	if _, err := e.Stop(t.Context(), alice, first.RunID); err != nil {
		t.Fatal(err)
	}
	mustRun(t, e, other) // Stop returns when the place is free
}

// A long output: the oldest is gone and told so, the rest comes in pages that fit together.
func TestBackgroundOutputIsARing(t *testing.T) {
	h, tool := botHouse(t, `seq 1 40000; echo problem >&2`)
	e := newEngine(t, h, func(o *run.Options) { o.RingOutput = 100_000 })
	res := mustRun(t, e, background(tool))
	all, end := collect(t, e, res.RunID)
	first, err := e.Get(t.Context(), alice, res.RunID, 0)
	if err != nil || !first.Truncated || end.StdoutBytes != 228894 || end.StderrBytes != 8 || end.NextOffset != 228894+8 {
		t.Errorf("%v truncated=%v %+v", err, first.Truncated, end)
	}
	if !strings.HasSuffix(all, "39999\n40000\n") {
		t.Errorf("ends %q", all[max(0, len(all)-20):])
	}
}

func TestEndedRunsAreForgotten(t *testing.T) {
	h, tool := botHouse(t, `echo output`)
	now := time.Now()
	e := newEngine(t, h, func(o *run.Options) {
		o.KeepRuns = 2
		o.KeepFor = time.Minute
		o.Clock = func() time.Time { return now }
	})
	var ids []string
	for range 3 {
		ids = append(ids, mustRun(t, e, request(tool)).RunID)
	}
	for i, want := range []string{"", "output\n", "output\n"} {
		if r, err := e.Get(t.Context(), alice, ids[i], 0); err != nil || r.Stdout != want || r.State != vault.RunExited {
			t.Errorf("%d: %+v %v", i, r, err)
		}
	}
	now = now.Add(time.Hour)
	if r, err := e.Get(t.Context(), alice, ids[2], 0); err != nil || r.Stdout != "" || !r.Truncated {
		t.Errorf("%+v %v", r, err)
	}
}

// One matcher serves many runs; a change of the vault builds another, which knows the new secret.
func TestTheMatcherIsSharedAndRenewed(t *testing.T) {
	h, tool := botHouse(t, `echo "new-canary-secret-5521"`)
	e := newEngine(t, h, nil)
	for range 3 {
		if res := mustRun(t, e, request(tool)); res.Redactions != 0 {
			t.Errorf("%+v", res)
		}
	}
	h.add("fresh", map[string]string{"key": "new-canary-secret-5521"}, policy.Policy{}, nil)
	e.Changed("res_fresh")
	if res := mustRun(t, e, request(tool)); res.Stdout != "[redacted]\n" {
		t.Errorf("%+v", res)
	}
	built := 0
	for _, ev := range h.happened() {
		if ev == "matcher" {
			built++
		}
	}
	if built != 2 {
		t.Errorf("built %d times", built)
	}
}

// A run that goes on hears of what the vault learns: a secret that is added or replaced is masked in what it writes from then on, what was replaced still is, and
// so is what the vault forgot. Each change builds one matcher, whoever writes.
func TestALongRunHearsOfNewSecrets(t *testing.T) {
	const was, added, replaced = "was-canary-secret-9931", "added-canary-secret-5521", "replaced-canary-secret-7715"
	h, tool, open := gated(t, `echo "`+was+` `+added+`" >&2; echo "`+replaced+` $BOT_TOKEN"`)
	h.add("other", map[string]string{"key": was}, policy.Policy{}, nil)
	e := newEngine(t, h, nil)
	first := mustRun(t, e, background(tool))
	for got := ""; got == ""; { // the first matcher is made
		r, err := e.Get(t.Context(), alice, first.RunID, 0)
		if err != nil {
			t.Fatal(err)
		}
		got = r.Stdout
	}
	h.add("fresh", map[string]string{"key": added}, policy.Policy{}, nil)
	h.edit("other", func(r *vault.Resource) {
		r.Sealed = map[string]vault.Sealed{"key": {Value: "sealed:" + hex.EncodeToString([]byte(replaced)), Version: 2}}
	})
	e.Changed("res_fresh")
	open()
	out, end := collect(t, e, first.RunID)
	r, err := e.Get(t.Context(), alice, first.RunID, 0)
	if err != nil || out != "ready [redacted:bot.token]\n[redacted] [redacted:bot.token]\n" || r.Stderr != "[redacted] [redacted]\n" || end.Redactions != 5 {
		t.Errorf("%q %q %+v %v", out, r.Stderr, end, err)
	}
	built := 0
	for _, ev := range h.happened() {
		if ev == "matcher" {
			built++
		}
	}
	if built != 2 {
		t.Errorf("built %d times", built)
	}
}

// Where the vault cannot be read any more a run that goes on shows nothing more: what it writes could be a secret that is new.
func TestALongRunIsWithheldWhereTheVaultIsNotRead(t *testing.T) {
	h, tool, open := gated(t, `echo after`)
	e := newEngine(t, h, nil)
	first := mustRun(t, e, background(tool))
	for got := ""; got == ""; {
		r, err := e.Get(t.Context(), alice, first.RunID, 0)
		if err != nil {
			t.Fatal(err)
		}
		got = r.Stdout
	}
	h.mu.Lock()
	h.secretErr = errors.New("the store is gone")
	h.mu.Unlock()
	e.Changed()
	open()
	if _, end := collect(t, e, first.RunID); !end.Withheld {
		t.Errorf("%+v", end)
	}
}

// A run's own values are masked also where the matcher was built before they were changed, and nobody has said so yet.
func TestARunsOwnValuesNeedNoNews(t *testing.T) {
	h, tool := botHouse(t, `echo "$BOT_TOKEN"`)
	e := newEngine(t, h, nil)
	mustRun(t, e, request(tool)) // builds the matcher
	const fresh = "987654321:BBF4canary-nQzx7Lq0mYcVtR2sWbE8"
	h.edit("bot", func(r *vault.Resource) {
		r.Sealed = map[string]vault.Sealed{"token": {Value: "sealed:" + hex.EncodeToString([]byte(fresh)), Version: 2}}
	})
	if res := mustRun(t, e, request(tool)); res.Stdout != "[redacted:bot.token]\n" || res.Redactions != 1 {
		t.Errorf("%+v", res)
	}
}

// What a person's own terminal gets, and what is recorded of it.
func TestOpenPlan(t *testing.T) {
	h := newHouse()
	h.add("bot", map[string]string{"token": token, "pin": "4711"}, policy.Policy{}, nil)
	e := newEngine(t, h, nil)
	if _, err := e.OpenPlan(t.Context(), alice, []string{"bot"}, []string{"env"}); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("an agent got a plan: %v", err)
	}
	if err := e.Report(t.Context(), alice, run.Ending{}); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("an agent reported: %v", err)
	}
	p, err := e.OpenPlan(t.Context(), person, []string{"bot"}, []string{"curl", "-H", "X: " + token, "-v"})
	if err != nil {
		t.Fatal(err)
	}
	var names, labels []string
	for _, it := range p.Items {
		names = append(names, it.Name)
		if it.Name == "BOT_TOKEN" && !it.Value.Equal(secret.FromString(token)) {
			t.Error("another value")
		}
	}
	for _, l := range p.Redact {
		labels = append(labels, l.Label)
	}
	if !slices.Equal(names, []string{"BOT_PIN", "BOT_TOKEN"}) || !slices.Equal(labels, []string{"bot.pin", "bot.token"}) {
		t.Errorf("%q %q", names, labels)
	}
	record, _ := h.GetRun(t.Context(), person, p.RunID)
	if !slices.Equal(record.Command, []string{"curl", "-H", "[redacted:bot.token]", "-v"}) || record.Isolation != "open" {
		t.Errorf("%+v", record)
	}
	end := run.Ending{RunID: p.RunID, ExitCode: 9, Redactions: 2, OutBytes: 77}
	if err := e.Report(t.Context(), person, end); err != nil {
		t.Fatal(err)
	}
	if r, _ := h.GetRun(t.Context(), person, p.RunID); r.State != vault.RunExited || r.ExitCode != 9 || r.OutBytes != 77 {
		t.Errorf("%+v", r)
	}
	if err := e.Report(t.Context(), person, end); fault.CodeOf(err) != fault.UnknownRun {
		t.Errorf("reported twice: %v", err)
	}
}
