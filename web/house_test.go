package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// What no reply and no log line may hold.
const (
	botToken   = "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"
	password   = "correct-horse-7f3a91c2"
	hostName   = "hidden-7f3a91c2.example.org"
	address    = "203.0.113.77"
	passphrase = "open sesame, said the person"
	canary     = "canary-7f3a91c2-value"
	planValue  = "the-plan-writes-itself" // the one reply that holds values is run's own: see openRun
)

var planted = []string{botToken, botToken[10:24], password, hostName, address, passphrase, canary}

var (
	operator = vault.OperatorActor()
	ctx      = context.Background()
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// house is the real vault behind the real API, with a clock that tests turn.
type house struct {
	*vault.Vault
	t    testing.TB
	web  *web.Server
	log  *logBuffer
	mu   sync.Mutex
	now  time.Time
	runs *runs
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

// newHouse makes one; change may put something between API and vault.
func newHouse(t testing.TB, change ...func(*web.Options)) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	must(t, vault.PutHeader(ctx, st, header))
	h := &house{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), log: &logBuffer{}, runs: &runs{}}
	h.Vault, err = vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k), Clock: h.clock})
	must(t, err)
	must(t, h.Setup(ctx))
	log, _ := h.Audit()
	o := web.Options{
		Vault: h.Vault, Runs: h.runs, Sync: syncer{}, Files: files{}, HostKeys: hostKeys{}, Audit: auditor{log, st}, Keys: slots{rekey.New(rekey.Options{Vault: h.Vault, Keyring: k, Opener: open.New(k), Clock: h.clock})}, Clock: h.clock, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Status: func(ctx context.Context) (api.Status, error) {
			set, err := h.HasPresence(ctx)
			return api.Status{Version: "1.2.3", Presence: set}, err
		},
		Stop: func() { h.runs.note("stop") },
		StopRun: func(_ context.Context, _ vault.Actor, runID string) (vault.RunState, error) {
			if runID != "run_aaaaaaaaaaaaaaaaaaaaaaaaaa" {
				return "", fault.New(fault.UnknownRun, "there is no such run", "")
			}
			return vault.RunStopped, nil
		},
		Folder: func(path string, force bool) error { // the rule over this machine's files is the program's
			if strings.HasPrefix(path, "/home") && !force {
				return fault.New(fault.WorkdirRefused, "a whole home", "")
			}
			return nil
		},
	}
	for _, c := range change {
		c(&o)
	}
	h.web = web.New(o)
	t.Cleanup(func() {
		must(t, h.Vault.Close(ctx))
		must(t, st.Close())
		k.Close()
		hunt(t, "the log", h.log.String())
	})
	return h
}

func hunt(t testing.TB, where, text string) {
	t.Helper()
	for _, p := range planted {
		if strings.Contains(text, p) {
			t.Errorf("%s holds %q: %s", where, p, text)
		}
	}
}

// runs stands for the engine.
type runs struct {
	mu   sync.Mutex
	seen []string
}

func (r *runs) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, s)
}

func (r *runs) has(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.seen, "\n"), s)
}

func (r *runs) OpenPlan(_ context.Context, _ vault.Actor, refs, command []string) (io.WriterTo, error) {
	r.note("open " + strings.Join(append(refs, command...), " "))
	return strings.NewReader(planValue), nil
}

func (r *runs) Held(vault.Actor) ([]api.HeldChanges, error) {
	return []api.HeldChanges{{RunID: "run_held", Agent: "ci", Changes: []api.HeldChange{{Path: "/srv/app/Makefile", Kind: "modified"}}}}, nil
}

func (r *runs) Diff(_ context.Context, _ vault.Actor, id string, present bool) (api.ChangesDiff, error) {
	if id == "run_guesses" && !present {
		return api.ChangesDiff{}, fault.New(fault.PresenceRequired, "withheld", "prove it")
	}
	return api.ChangesDiff{RunID: id, Files: []api.FileDiff{{Diff: "+evil\n"}}}, nil
}

func (r *runs) Keep(_ context.Context, _ vault.Actor, id string, in api.KeepChanges) error {
	r.note(fmt.Sprintf("keep %s %v %q", id, in.Force, in.Paths))
	return nil
}

func (r *runs) Discard(_ context.Context, _ vault.Actor, id string) error {
	r.note("discard " + id)
	return nil
}

func (r *runs) EndOpen(_ context.Context, _ vault.Actor, id string, end api.EndRun) error {
	r.note("end " + id + " " + end.State)
	if !strings.HasPrefix(id, "run_") {
		return fault.New(fault.UnknownRun, "there is no such open run under way", "")
	}
	return nil
}

type syncer struct{}

func (syncer) Info(context.Context) (api.SyncInfo, error) { return api.SyncInfo{Configured: true}, nil }

func (syncer) Now(_ context.Context, confirmShrunk bool) (any, error) {
	return map[string]any{"servers": 1, "confirmed": confirmShrunk}, nil
}

// files stands for sync/sopshome.
type files struct{}

func (files) Accept(_ context.Context, _ vault.Actor, name string, in api.AcceptLoss) (api.SecretFile, error) {
	return api.SecretFile{Name: name, OK: true, Entries: in.Absent}, nil
}

type hostKeys struct{}

func (hostKeys) Scan(_ context.Context, r vault.Resource) ([]api.HostKey, error) {
	if r.Kind != "server" {
		return nil, fault.New(fault.InvalidArgument, "only a server has a host key", "")
	}
	return []api.HostKey{{Key: "ssh-ed25519 AAAA", Fingerprint: "SHA256:x"}}, nil
}

type auditor struct {
	log *audit.Log
	st  store.Store
}

func (a auditor) List(ctx context.Context, f audit.Filter) (rs []audit.Record, next string, err error) {
	err = a.st.View(ctx, func(tx store.Tx) error {
		rs, next, err = a.log.List(tx, f)
		return err
	})
	return rs, next, err
}

func (a auditor) Verify(ctx context.Context) (audit.Report, error) { return a.log.Verify(ctx, a.st) }

func (a auditor) Export(ctx context.Context, w io.Writer) (audit.Report, error) {
	return a.log.Export(ctx, a.st, w)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client speaks to the API over a unix socket of its own, from one seat.
type client struct {
	t    testing.TB
	http *http.Client
}

// nowhere is a seat without a terminal.
const nowhere = 0

// sit serves the API on a socket; whoever connects there sits at seat n.
func (h *house) sit(n int) *client {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "zvw") // short: a socket's path holds 104 bytes
	must(h.t, err)
	sock := filepath.Join(dir, "s")
	l, err := net.Listen("unix", sock)
	must(h.t, err)
	srv := &http.Server{Handler: h.web, ReadHeaderTimeout: time.Minute, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		if n == nowhere {
			return web.WithPeer(ctx, web.Peer{UID: os.Getuid()})
		}
		return web.SitAt(ctx, n)
	}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	c := &client{t: h.t, http: &http.Client{Transport: &http.Transport{
		MaxIdleConns: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", sock)
		},
	}}}
	h.t.Cleanup(func() {
		c.http.CloseIdleConnections()
		must(h.t, srv.Close())
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			h.t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return c
}

// answer is a whole reply.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; body is JSON text, or nothing.
func (c *client) do(method, path, body string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body)
	must(c.t, err)
	return a
}

func (c *client) try(method, path, body string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://zavhoz/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	hunt(c.t, method+" "+path, string(b))
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (a answer) code() fault.Code {
	var p api.Problem
	_ = json.Unmarshal([]byte(a.body), &p)
	return fault.Code(p.Code)
}

// ok wants success.
func (c *client) ok(method, path, body string) answer {
	c.t.Helper()
	a := c.do(method, path, body)
	if a.status >= 300 {
		c.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

// refused wants a problem of that code.
func (c *client) refused(code fault.Code, method, path, body string) answer {
	c.t.Helper()
	a := c.do(method, path, body)
	if a.code() != code {
		c.t.Errorf("%s %s %.100s: %d %s, want %s", method, path, body, a.status, a.body, code)
	}
	return a
}

func (a answer) get(name string) any {
	var m map[string]any
	_ = json.Unmarshal([]byte(a.body), &m)
	return m[name]
}

const newBot = `{"kind":"telegram_bot","handle":"bot","attrs":{"username":"@weather_bot"},"secrets":{"token":"` + botToken + `"}}`

// fill puts in what the tests act on: bot, vps, an agent, a project, and a discovered server, whose id it gives.
func (h *house) fill(c *client) (serverID string) {
	h.t.Helper()
	c.ok("POST", "/resources", newBot)
	c.ok("POST", "/resources", `{"kind":"server","handle":"vps","attrs":{"user":"deploy"},"secrets":{"host":"`+hostName+`","password":"`+password+`"}}`)
	c.ok("PATCH", "/resources/bot", `{"why":"nothing"}`)
	c.ok("POST", "/agents", `{"name":"ci"}`)
	c.ok("POST", "/projects", `{"slug":"other"}`)
	c.ok("POST", "/projects/other/config/secrets", `{"secrets":{"DATABASE_URL":"`+canary+`"}}`)
	serverID = id.New(id.Server)
	must(h.t, h.ApplyServers(ctx, "time4vps", func([]vault.Server, json.RawMessage) (out vault.ServerOutcome, err error) {
		for _, sid := range []string{serverID, id.New(id.Server)} {
			s := vault.Server{ID: sid, ProviderID: "8812345", Status: "active", Intent: "auto", RAMMB: 1024, CreatedAt: h.clock(), Prints: map[string]string{"ip": h.ServerPrint("ip", secret.FromString(address))}}
			out.Changes = append(out.Changes, vault.ServerChange{Server: s, Seal: map[string]secret.Secret{"ip": secret.FromString(address)}})
		}
		out.State = json.RawMessage(`{}`)
		return out, nil
	}))
	return serverID
}

func (h *house) setPassphrase(c *client) {
	h.t.Helper()
	c.ok("PUT", "/presence", `{"passphrase":"`+passphrase+`"}`)
}

// direct asks without any connection.
func direct(h *house, method, path, body string) int {
	w := httptest.NewRecorder()
	h.web.ServeHTTP(w, httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body)))
	return w.Code
}
