package sync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// house is a reconciler between a simulated provider and a registry in memory, with a clock that the test moves.
type house struct {
	t      testing.TB
	sim    *time4vpstest.Sim
	client *time4vps.Client
	reg    *MemoryRegistry
	r      *sync.Reconciler
	policy sync.Policy
	log    *safeBuffer
	told   []string // incidents, as OnIncident heard of them
	tell   error
	creds  error

	mu  stdsync.Mutex
	now time.Time
}

type safeBuffer struct {
	mu stdsync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func newHouse(t testing.TB, edit ...func(*sync.Options)) *house {
	t.Helper()
	h := &house{t: t, sim: time4vpstest.New(), reg: NewMemoryRegistry(), log: &safeBuffer{}, now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}
	running, err := h.sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.client, err = time4vps.New(time4vps.Options{BaseURL: running.URL, Log: log, Timeout: 5 * time.Second,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Credentials: func(context.Context) (string, secret.Secret, error) {
			return time4vpstest.User, secret.FromString(time4vpstest.Password), h.creds
		}})
	if err != nil {
		t.Fatal(err)
	}
	o := sync.Options{
		Provider: time4vps.Provider{Client: h.client}, Registry: h.reg, Log: log, Clock: h.clock,
		Policy: func(context.Context) (sync.Policy, error) { return h.policy, nil },
		OnIncident: func(_ context.Context, provider string, i sync.Incident, closed bool) error {
			h.told = append(h.told, fmt.Sprint(provider, " ", i.Code, " ", closed))
			return h.tell
		},
	}
	for _, fn := range edit {
		fn(&o)
	}
	h.r = sync.NewReconciler(o)
	t.Cleanup(func() {
		h.nothingLeaked()
		h.client.Close()
		running.Close()
	})
	return h
}

// nothingLeaked looks for every password and every address of the account in the log and in what the registry and the reports print.
func (h *house) nothingLeaked() {
	h.t.Helper()
	last, _ := h.r.Last()
	report, _ := json.Marshal(last)
	rows := fmt.Sprintf("%v %+v %#v", h.reg.rows, h.reg.rows, h.reg.sealed)
	text := h.log.String() + string(report) + fmt.Sprintf("%+v %v", last, last.Err()) + rows
	for i, p := range h.sim.Passwords() {
		if i > 50 { // the others begin with the same word, which is looked for below
			break
		}
		if strings.Contains(text, p) {
			h.t.Errorf("a password is in what was written")
		}
	}
	for _, hidden := range []string{"198.18.0.", "example.net", "rootpw-", "<html>", "Basic "} {
		if i := strings.Index(text, hidden); i >= 0 {
			h.t.Errorf("%q is in what was written: …%s…", hidden, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

// cycle runs a cycle a minute later.
func (h *house) cycle() sync.Report {
	h.t.Helper()
	h.pass(time.Minute)
	return h.r.Cycle(context.Background())
}

// ok runs a cycle that must be.
func (h *house) ok() sync.Report {
	h.t.Helper()
	rep := h.cycle()
	if !rep.OK || rep.Err() != nil {
		h.t.Fatalf("not ok: %v %v", rep.Err(), rep.Problems)
	}
	return rep
}

// fails runs a cycle that must end with code.
func (h *house) fails(code fault.Code) sync.Report {
	h.t.Helper()
	rep := h.cycle()
	if rep.OK || fault.CodeOf(rep.Err()) != code || rep.Code != string(code) {
		h.t.Fatalf("want %s, got %+v", code, rep)
	}
	return rep
}

func (h *house) status(id string, want sync.Status) {
	h.t.Helper()
	if got := h.reg.by(id).Status; got != want {
		h.t.Errorf("server %s is %q, want %q", id, got, want)
	}
}

func (h *house) sealed(id, field string) secret.Secret { return h.reg.sealed[h.reg.by(id).ID][field] }

func is(s secret.Secret, text string) bool { return s.Equal(secret.FromString(text)) }
