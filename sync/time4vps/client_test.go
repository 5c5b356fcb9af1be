package time4vps_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// clock is a clock that moves only when someone waits on it.
type clock struct {
	mu    stdsync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.waits = c.now.Add(d), append(c.waits, d)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	for _, d := range c.waits {
		sum += d
	}
	return sum
}

type bench struct {
	sim    *time4vpstest.Sim
	client *time4vps.Client
	clock  *clock
	log    *bytes.Buffer
	url    string
}

func login(context.Context) (string, secret.Secret, error) {
	return time4vpstest.User, secret.FromString(time4vpstest.Password), nil
}

// newBench is a client before a simulator. Whatever the test does, no password of the account may be in its log.
func newBench(t *testing.T, edit ...func(*time4vps.Options)) *bench {
	t.Helper()
	b := &bench{sim: time4vpstest.New(), clock: &clock{now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}}
	running, err := b.sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	b.url = running.URL
	o := time4vps.Options{
		BaseURL: running.URL, Credentials: login, Clock: b.clock.Now, Wait: b.clock.Wait,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, fn := range edit {
		fn(&o)
	}
	if b.client, err = time4vps.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.noSecrets(t, b.log.String())
		b.client.Close()
		running.Close()
	})
	return b
}

// noSecrets looks for every password of the account in texts.
func (b *bench) noSecrets(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, p := range b.sim.Passwords() {
			if strings.Contains(text, p) || strings.Contains(text, p[len(p)-8:]) {
				t.Errorf("a password is in %.80q", text)
			}
		}
	}
}

// shown is everything that an error could show, its whole chain included.
func shown(err error) string {
	s := ""
	for e := err; e != nil; e = errors.Unwrap(e) {
		s += fmt.Sprintf("%v %+v %#v\n", e, e, e)
	}
	return s
}

// want checks an error's code, and that it holds nothing of the provider.
func (b *bench) want(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("want %s, got %v", code, shown(err))
	}
	b.noSecrets(t, shown(err))
	for _, foreign := range []string{"<html>", "wronglogin", "ipnotallowed", "unauthorized", "Invalid", "Basic", "xxxx"} {
		if err != nil && strings.Contains(err.Error(), foreign) {
			t.Errorf("the provider's text %q is in %q", foreign, err.Error())
		}
	}
}

// everything is every method, by name.
func everything(c *time4vps.Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"list":    func(ctx context.Context) error { _, err := c.List(ctx); return err },
		"details": func(ctx context.Context) error { _, err := c.Details(ctx, "300001"); return err },
		"service": func(ctx context.Context) error { _, err := c.Service(ctx, "300001"); return err },
		"ips":     func(ctx context.Context) error { _, err := c.IPs(ctx, "300001"); return err },
		"oses":    func(ctx context.Context) error { _, err := c.OSes(ctx, "300001"); return err },
		"task":    func(ctx context.Context) error { _, err := c.Task(ctx, "300001", "server_reboot"); return err },
		"reboot":  func(ctx context.Context) error { return c.Reboot(ctx, "300001") },
		"reset":   func(ctx context.Context) error { _, err := c.ResetPassword(ctx, "300001"); return err },
	}
}

func TestEveryEndpointSurfacesTheErrorBody(t *testing.T) {
	cases := []struct {
		name  string
		reply time4vpstest.Reply
		code  fault.Code
		says  string
	}{
		{"wrong login", time4vpstest.WrongLogin, fault.ProviderLogin, "login"},
		{"wrong login, 200", time4vpstest.Raw(200, `{"error":["wronglogin","unauthorized"]}`), fault.ProviderLogin, ""},
		{"ip", time4vpstest.IPNotAllowed, fault.ProviderIPDenied, "check that before the login"},
		{"ip, 500", time4vpstest.Raw(500, `{"error":["ipnotallowed"]}`), fault.ProviderIPDenied, ""},
		{"plain 401", time4vpstest.Raw(401, `{"error":["unauthorized"]}`), fault.ProviderLogin, "allow-list"},
		{"401 without a body", time4vpstest.Raw(401, ``), fault.ProviderLogin, ""},
		{"error as a text", time4vpstest.Raw(200, `{"error":"wronglogin"}`), fault.ProviderLogin, ""},
		{"an error nobody knows", time4vpstest.Raw(200, `{"error":["canary-7Qx2vN4kP9 xQ"]}`), fault.ProviderReply, ""},
		{"error as an object", time4vpstest.Raw(400, `{"error":{"a":1}}`), fault.ProviderReply, ""},
		{"throttle of an unknown shape", time4vpstest.Raw(401, `{"error":[["wait_x_between_action","soon"],"unauthorized"]}`), fault.ProviderReply, ""},
		{"throttle without a number", time4vpstest.Raw(401, `{"error":["wait_x_between_action","unauthorized"]}`), fault.ProviderReply, ""},
		{"throttle of years", time4vpstest.Raw(401, `{"error":[["wait_x_between_action",99999999],"unauthorized"]}`), fault.ProviderReply, ""},
		{"429", time4vpstest.Raw(429, ``), fault.ProviderThrottled, ""},
		{"404", time4vpstest.Raw(404, `not found`), fault.ProviderReply, ""},
		{"not JSON", time4vpstest.Raw(200, `It works!`), fault.ProviderReply, ""},
		{"null", time4vpstest.Raw(200, `null`), fault.ProviderReply, ""},
		{"empty", time4vpstest.Raw(200, ``), fault.ProviderReply, ""},
		{"empty object", time4vpstest.Raw(200, `{}`), fault.ProviderReply, ""},
		{"cut", time4vpstest.Cut, "", ""},
		{"huge", time4vpstest.Huge(9 << 20), fault.ProviderReply, "cap"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.sim.Populate(1)
			for name, call := range everything(b.client) {
				if name == "ips" && c.name == "empty object" {
					continue // an object without ips has none
				}
				b.sim.Clear()
				b.sim.Fail(c.reply)
				err := call(t.Context())
				if c.code == "" { // a broken connection: no answer, whatever the call
					if code := fault.CodeOf(err); code != fault.ProviderUnavailable && code != fault.TimedOut {
						t.Errorf("%s: %v", name, shown(err))
					}
					continue
				}
				if fault.CodeOf(err) != c.code {
					t.Errorf("%s: want %s, got %v", name, c.code, shown(err))
				}
				b.noSecrets(t, shown(err))
				if f := fault.Of(err); f != nil && !strings.Contains(f.Message+f.Next, c.says) {
					t.Errorf("%s: %q does not say %q", name, err, c.says)
				}
			}
		})
	}
}

func TestOutages(t *testing.T) {
	for name, reply := range map[string]time4vpstest.Reply{
		"503 page": time4vpstest.Outage(503), "502 page": time4vpstest.Outage(502), "reset": time4vpstest.Reset, "hang": time4vpstest.Hang, "drip": time4vpstest.Drip,
		"500 with an unknown error": time4vpstest.Raw(500, `{"error":["db down"]}`), "cut": time4vpstest.Cut,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *time4vps.Options) { o.Timeout = 300 * time.Millisecond })
			b.sim.Populate(1)
			b.sim.Fail(reply)
			_, err := b.client.List(t.Context())
			b.want(t, err, fault.ProviderUnavailable)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		b := newBench(t, func(o *time4vps.Options) { o.BaseURL = "http://127.0.0.1:1/api" })
		_, err := b.client.List(t.Context())
		b.want(t, err, fault.ProviderUnavailable)
	})
	t.Run("the caller leaves", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		b.sim.Fail(func(s *time4vpstest.Sim, w http.ResponseWriter, r *http.Request) {
			cancel()
			time4vpstest.Hang(s, w, r)
		})
		_, err := b.client.List(ctx)
		b.want(t, err, fault.Canceled)
	})
}

func TestAPlain401IsFatalAfterOneCall(t *testing.T) {
	b := newBench(t)
	b.sim.SetLogin("other", "other-Vb81kq2Z")
	_, err := b.client.List(t.Context())
	b.want(t, err, fault.ProviderLogin)
	if n := b.sim.Requests(""); n != 1 || len(b.clock.waits) != 0 {
		t.Errorf("%d requests, waits %v", n, b.clock.waits)
	}
}

func TestThrottleIsWaitedOut(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001/task/", Times: 1, Reply: time4vpstest.Throttle(24)})
	password, err := b.client.ResetPassword(t.Context(), "300001")
	if err != nil {
		t.Fatal(err)
	}
	if !password.Equal(secret.FromString(b.sim.Passwords()[1])) {
		t.Error("not the new password")
	}
	if b.clock.waits[0] != 24*time.Second {
		t.Errorf("waited %v, want 24 s first", b.clock.waits)
	}
	if n := b.sim.Requests("POST "); n != 1 {
		t.Errorf("%d resets", n)
	}
}

func TestThrottleOnTheActionItself(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.Inject(time4vpstest.Rule{Method: "POST", Times: 2, Reply: time4vpstest.Throttle(0)}) // 0 is no licence for a busy loop
	if err := b.client.Reboot(t.Context(), "300001"); err != nil {
		t.Fatal(err)
	}
	if b.clock.waits[0] != time.Second || b.clock.waits[1] != time.Second {
		t.Errorf("waits %v", b.clock.waits)
	}
}

func TestThrottleLongerThanTheBudgetEndsAfterExactlyWhatRemains(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.SetPolls(3)
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001/task/", Skip: 2, Reply: time4vpstest.Throttle(9000)})
	_, err := b.client.ResetPassword(t.Context(), "300001")
	b.want(t, err, fault.TimedOut)
	if fault.Of(err).Details["task_id"] == nil {
		t.Error("the fault does not name the task, so the password is lost")
	}
	if b.clock.total() != 300*time.Second || b.clock.waits[2] != 290*time.Second {
		t.Errorf("waited %v: %v, want 300 s in all", b.clock.total(), b.clock.waits)
	}
	b.sim.Clear()
	password, err := b.client.AwaitPassword(t.Context(), "300001", fmt.Sprint(fault.Of(err).Details["task_id"]))
	if err != nil || !password.Equal(secret.FromString(b.sim.Passwords()[1])) {
		t.Errorf("taken up again: %v", err)
	}
}

func TestAPollSurvivesAnOutage(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.SetPolls(0)
	for _, r := range []time4vpstest.Reply{time4vpstest.Outage(503), time4vpstest.Reset, time4vpstest.Raw(200, "{}"), time4vpstest.Cut} {
		b.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001/task/", Times: 1, Reply: r})
	}
	password, err := b.client.ResetPassword(t.Context(), "300001")
	if err != nil || !password.Equal(secret.FromString(b.sim.Passwords()[1])) {
		t.Fatal(err)
	}
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001/task/", Reply: time4vpstest.IPNotAllowed})
	_, err = b.client.ResetPassword(t.Context(), "300001")
	b.want(t, err, fault.ProviderIPDenied)
}

func TestAnActionIsNotDoneTwice(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.Inject(time4vpstest.Rule{Method: "POST", Reply: time4vpstest.Reset})
	_, err := b.client.ResetPassword(t.Context(), "300001")
	b.want(t, err, fault.ProviderUnavailable)
	b.sim.Clear()
	b.sim.Inject(time4vpstest.Rule{Method: "POST", Reply: time4vpstest.Redirect(307, "/api/server/300001/resetpassword/")})
	_, err = b.client.ResetPassword(t.Context(), "300001")
	b.want(t, err, fault.ProviderReply)
	if n := b.sim.Requests("POST "); n != 2 {
		t.Errorf("%d posts, want one a call", n)
	}
}

func TestUnknownTask(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	_, err := b.client.Task(t.Context(), "300001", "999")
	b.want(t, err, fault.ProviderReply)
	if !errors.Is(err, time4vps.ErrNotFound) {
		t.Error("not ErrNotFound")
	}
	_, err = b.client.AwaitPassword(t.Context(), "300001", "999")
	b.want(t, err, fault.ProviderReply)
	if len(b.clock.waits) != 0 {
		t.Error("waited for a task that does not exist")
	}
}

func TestACompletedResetWithoutAPassword(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server/300001/task/", Reply: time4vpstest.Raw(200, `{"name":"server_reset_password","completed":"2026-09-01 10:00:00","results":"canary-9912-ab nothing here"}`)})
	_, err := b.client.ResetPassword(t.Context(), "300001")
	b.want(t, err, fault.ProviderReply)
	if !errors.Is(err, time4vps.ErrNoPassword) || strings.Contains(shown(err), "canary") {
		t.Errorf("%v", shown(err))
	}
}

func TestIDsCannotLeaveTheirPath(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"", "0", "-1", "007", "1/../2", "1?x", "1%2e", "abc", strings.Repeat("9", 21)} {
		_, err := b.client.Details(t.Context(), id)
		b.want(t, err, fault.InvalidArgument)
		b.want(t, b.client.Reboot(t.Context(), id), fault.InvalidArgument)
	}
	for _, task := range []string{"", "../reboot", "A", "1x"} {
		_, err := b.client.Task(t.Context(), "1", task)
		b.want(t, err, fault.InvalidArgument)
	}
	if b.sim.Requests("") != 0 {
		t.Error("something was sent")
	}
}

func TestBaseURLs(t *testing.T) {
	for _, bad := range []string{"http://billing.example/api", "ftp://x", "https://", "https://u:p@h/api", "https://h/api?x=1", "https://h/#f", "http://127.0.0.1.evil.example/", "http://localhost.evil.example", ":"} {
		if _, err := time4vps.New(time4vps.Options{BaseURL: bad, Credentials: login}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, good := range []string{"", "https://billing.example/api/", "http://127.0.0.1:8080/api", "http://[::1]/api", "http://localhost:1"} {
		if _, err := time4vps.New(time4vps.Options{BaseURL: good, Credentials: login}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	given := secret.FromString(time4vpstest.Password)
	b := newBench(t, func(o *time4vps.Options) {
		o.Credentials = func(context.Context) (string, secret.Secret, error) { return time4vpstest.User, given, nil }
	})
	if _, err := b.client.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !given.IsZero() {
		t.Error("the password was not wiped after use")
	}
	locked := newBench(t, func(o *time4vps.Options) {
		o.Credentials = func(context.Context) (string, secret.Secret, error) {
			return "", secret.Secret{}, fault.New(fault.VaultLocked, "the vault is locked", "")
		}
	})
	_, err := locked.client.List(t.Context())
	locked.want(t, err, fault.VaultLocked)
	if locked.sim.Requests("") != 0 {
		t.Error("something was sent without a login")
	}
}

// A redirect must not take the login along: not to another host, not to another port.
func TestRedirects(t *testing.T) {
	b := newBench(t)
	b.sim.Populate(1)
	caught := make(chan string, 8)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { caught <- r.Header.Get("Authorization") }))
	defer thief.Close()
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server", Exact: true, Times: 1, Reply: time4vpstest.Redirect(302, thief.URL+"/server")})
	_, err := b.client.List(t.Context())
	b.want(t, err, fault.ProviderReply)
	select {
	case h := <-caught:
		t.Errorf("the other host was called with %q", h)
	default:
	}
	b.sim.Inject(time4vpstest.Rule{Prefix: "/server", Exact: true, Times: 1, Reply: time4vpstest.Redirect(301, "/api/server/")})
	if servers, err := b.client.List(t.Context()); err != nil || len(servers) != 1 {
		t.Errorf("a redirect to a trailing slash: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	sim := time4vpstest.New()
	sim.Populate(1)
	srv := httptest.NewUnstartedServer(sim.Handler())
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	stranger, err := time4vps.New(time4vps.Options{BaseURL: srv.URL + "/api", Credentials: login})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.List(t.Context()); fault.CodeOf(err) != fault.ProviderUnavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	if sim.Requests("") != 0 {
		t.Error("the login was sent to an unknown certificate")
	}
	friend, err := time4vps.New(time4vps.Options{BaseURL: srv.URL + "/api", Credentials: login, HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := friend.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("a known certificate: %v", err)
	}
	careless := srv.Client()
	careless.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	if _, err := time4vps.New(time4vps.Options{BaseURL: srv.URL, Credentials: login, HTTPClient: careless}); fault.CodeOf(err) != fault.InvalidArgument {
		t.Error("a transport that verifies nothing was accepted")
	}
}

// What the details hold of passwords must not be in any struct, whatever way it is printed.
func TestLastTasksNeverLeaveTheDecoder(t *testing.T) {
	b := newBench(t)
	b.sim.Add(time4vpstest.Server{ID: 300001, More: []string{"203.0.113.9"}})
	d, err := b.client.Details(t.Context(), "300001")
	if err != nil {
		t.Fatal(err)
	}
	if *d.CPU != 2 || *d.RAMMB != 4096 || *d.DiskMB != 81_920 || *d.UsedRAMMB != 1180 || *d.UsedDiskMB != 9300 || d.Status != "active" || len(d.Additional) != 1 || d.Windows() {
		t.Errorf("%+v", d)
	}
	text := fmt.Sprintf("%v %+v %#v", d, d, d)
	b.noSecrets(t, text)
	for _, hidden := range []string{"198.18.0.1", "203.0.113.9", "last_tasks", "server_recreate"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s is in %s", hidden, text)
		}
	}
}
