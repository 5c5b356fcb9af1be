package egress_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// resourceOf is a resource of a kind as a run makes it, with every host led to the upstream.
func (u *upstream) resourceOf(t *testing.T, handle, kindName, field, value0 string, attrs map[string]string) (egress.Resource, string) {
	t.Helper()
	k, err := kind.Get(kindName)
	if err != nil {
		t.Fatal(err)
	}
	ph, err := k.ShapeOf(attrs, field).Make(rand.Reader, len(value0))
	if err != nil {
		t.Fatal(err)
	}
	r := egress.Resource{Handle: handle, Private: true, Roots: u.roots, Resolve: map[string]netip.Addr{}}
	for _, rule := range k.Rules(attrs, policy.Policy{}) {
		rule.Port = u.port
		r.Rules = append(r.Rules, rule)
		r.Resolve[rule.Host] = netip.MustParseAddr("127.0.0.1")
	}
	for _, s := range k.Swaps(attrs) {
		r.Swaps = append(r.Swaps, egress.Swap{Placeholder: ph, Header: s.Header, Template: s.Template, Basic: s.Basic, Path: s.Path, Value: value(value0)})
	}
	return r, ph
}

// TestEveryServiceHasItsPlace: the places of every kind and service can be read, and the first one carries a request of the broker's own.
func TestEveryServiceHasItsPlace(t *testing.T) {
	u := newUpstream(t, echo)
	for _, s := range kind.Services() {
		if s.Refused != "" || s.NoStandIn != "" {
			continue
		}
		attrs := map[string]string{"service": s.Name, "username": "AC0123"}
		r, ph := u.resourceOf(t, s.Name, "api_key", "key", "true-value-of-"+s.Name+"-0123456789abcdef", attrs)
		p, err := egress.New(egress.Options{Record: func(egress.Event) error { return nil }, Resources: []egress.Resource{r}})
		if err != nil {
			t.Errorf("%s (%s): %v", s.Name, ph, err)
			continue
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTelegramAndGitHub: the two whose places are odd, by their kinds' own rules.
func TestTelegramAndGitHub(t *testing.T) {
	u := newUpstream(t, echo, "api.telegram.org", "api.github.com", "github.com")
	const token = "123456789:AAcanary_0123456789-abcdefghijklmno"
	bot, botStandIn := u.resourceOf(t, "bot", "telegram_bot", "token", token, map[string]string{})
	hub, hubStandIn := u.resourceOf(t, "hub", "api_key", "key", truth, map[string]string{"service": "github"})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{bot, hub}, Matcher: matcher(t, token, truth)})
	at := func(host, path string) string { return fmt.Sprintf("https://%s:%d%s", host, u.port, path) }
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		if resp, b := get(t, c, "POST", at("api.telegram.org", "/bot"+botStandIn+"/sendMessage?chat_id=1")); resp.StatusCode != 200 || u.last().URL.Path != "/bot"+token+"/sendMessage" || strings.Contains(b, token) || !strings.Contains(b, "/bot"+botStandIn+"/sendMessage") {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
		if resp, _ := get(t, c, "GET", at("api.telegram.org", "/file/bot"+strings.Replace(botStandIn, ":", "%3A", 1)+"/a/b.jpg")); resp.StatusCode != 200 || u.last().URL.Path != "/file/bot"+token+"/a/b.jpg" {
			t.Errorf("%d %s", resp.StatusCode, u.last().URL.Path)
		}
		if resp, b := get(t, c, "POST", at("api.telegram.org", "/bot"+botStandIn+"/logOut")); resp.StatusCode != 403 {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
		for sent, saw := range map[string]string{"Bearer " + hubStandIn: "Bearer " + truth, "token " + hubStandIn: "token " + truth, basic("x-access-token", hubStandIn): basic("x-access-token", truth)} {
			if resp, b := get(t, c, "GET", at("github.com", "/acme/shop.git/info/refs?service=git-upload-pack"), "Authorization", sent); resp.StatusCode != 200 || u.last().Header.Get("Authorization") != saw || leaks(b) {
				t.Errorf("%s: %d %s", sent, resp.StatusCode, b)
			}
		}
		if resp, b := get(t, c, "POST", at("api.github.com", "/app/installations/1/access_tokens"), "Authorization", "Bearer "+hubStandIn); resp.StatusCode != 403 || !strings.Contains(b, "request_not_allowed") {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
	})
	for _, e := range r.wait(t, 28) {
		if strings.Contains(e.Path, "123456789") || strings.Contains(e.Path, botStandIn) || e.Host == "api.telegram.org" && e.Decision == egress.Allowed && !strings.Contains(e.Path, "bot{value}/") {
			t.Errorf("%+v", e)
		}
	}
}

// TestHolds: a pinned command sends the value itself; the rules hold, and what comes back is searched.
func TestHolds(t *testing.T) {
	u := newUpstream(t, echo)
	res := u.resource()
	res.Holds = true
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}, Matcher: matcher(t, truth)})
	c := r.client(t, false, false)
	if resp, b := get(t, c, "GET", u.url("/x"), "Authorization", "Bearer "+truth); resp.StatusCode != 200 || u.last().Header.Get("Authorization") != "Bearer "+truth || leaks(b) {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if resp, _ := get(t, c, "GET", u.url("/keys"), "Authorization", "Bearer "+truth); resp.StatusCode != 403 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestAttack37_StatusLineAndEarlyHints: places that are easily forgotten.
func TestAttack37_StatusLineAndEarlyHints(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 103 Early %s\r\nLink: <%s>\r\n\r\nHTTP/1.1 200 Fine %s\r\nContent-Length: 2\r\nX-%s: 1\r\nConnection: close\r\n\r\nok", truth, truth, truth, strings.ReplaceAll(truth, "_", "-"))
		_ = c.Close()
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	got := r.raw(t, u, fmt.Sprintf("GET /x HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", host, u.port))
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK") || leaks(got) || !strings.HasSuffix(got, "ok") {
		t.Errorf("%s", got)
	}
}

// TestManyAtOnce: requests of many sorts side by side do not mix.
func TestManyAtOnce(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-Number"), r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"), b)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	var all sync.WaitGroup
	for i := range 12 {
		c := r.client(t, i%2 == 0, i%3 == 0)
		all.Go(func() {
			for k := range 10 {
				number := fmt.Sprint(i, "-", k)
				q, _ := http.NewRequest("POST", u.url("/x"), strings.NewReader("body "+number))
				q.Header.Set("X-Number", number)
				if k%2 == 0 {
					q.Header.Set("X-Api-Key", standIn)
				}
				resp, err := c.Do(q)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := fmt.Sprintf("%s %s body %s", number, map[bool]string{true: standIn}[k%2 == 0], number); string(b) != want {
					t.Errorf("%q, not %q", b, want)
				}
			}
		})
	}
	all.Wait()
	if n := len(r.wait(t, 120)); n != 120 {
		t.Errorf("%d events", n)
	}
}

// TestAHostWithADeadAddress: the next address is tried.
func TestAHostWithADeadAddress(t *testing.T) {
	u := newUpstream(t, echo)
	res := u.resource()
	res.Resolve = nil
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}, Lookup: func(ctx, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.99"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("127.0.0.1")}, nil
	}})
	if resp, b := get(t, r.client(t, false, false), "GET", u.url("/x")); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// TestAttack45_ACertificateThatIsNotTrusted: a name that leads to another server gets nothing.
func TestAttack45_ACertificateThatIsNotTrusted(t *testing.T) {
	u, evil := newUpstream(t, echo), newUpstream(t, echo)
	res := u.resource()
	res.Rules[0].Port = evil.port
	r := newRig(t, evil.port, egress.Options{Resources: []egress.Resource{res}})
	for range 2 { // a session is not resumed into trust either
		resp, b := get(t, r.client(t, false, false), "GET", evil.url("/x"), "Authorization", "Bearer "+standIn)
		if resp.StatusCode != 502 || !contains(b, "connection_failed", "certificate") || evil.count() != 0 {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
	}
}
