package egress_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// ask makes a request by the broker.
func (r *rig) ask(t testing.TB, handle, method, url string, capture bool, headers ...string) (int, string, error) {
	t.Helper()
	q, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	resp, err := r.RoundTrip(t.Context(), handle, q, capture)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b) + fmt.Sprint(resp.Header), nil
}

// TestRoundTrip: the broker's own request carries the credential without being told, and its reply is searched like any other.
func TestRoundTrip(t *testing.T) {
	u := newUpstream(t, echo)
	bot := u.resource()
	bot.Handle, bot.Swaps = "bot", []egress.Swap{{Placeholder: "7000000000:AAstandin0000000000000", Path: "/bot{value}/", Value: value("7123456789:AAtrue_value-0000000000000")}}
	login := u.resource()
	login.Handle, login.Swaps = "login", []egress.Swap{{Placeholder: "login-standin-000000000000", Header: "Authorization", Template: "api:{value}", Basic: true, Value: value("key-true-value-000000")}}
	none := u.resource()
	none.Handle, none.Swaps = "none", nil
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource(), bot, login, none}, Matcher: matcher(t, truth)})
	for handle, want := range map[string]string{"forge": "Bearer " + truth, "login": basic("api", "key-true-value-000000"), "bot": "/bot7123456789:AAtrue_value-0000000000000/x"} {
		status, b, err := r.ask(t, handle, "GET", u.url("/x?q=1"), false)
		if err != nil || status != 200 || leaks(b) || strings.Contains(b, "true") {
			t.Errorf("%s: %d %s %v", handle, status, b, err)
		}
		if last := u.last(); last.Header.Get("Authorization") != want && last.URL.Path != want || last.URL.RawQuery != "q=1" {
			t.Errorf("%s: the host saw %v %s", handle, last.Header, last.URL)
		}
	}
	if _, _, err := r.ask(t, "bot", "GET", u.url("/bot7000000000:AAstandin0000000000000/x"), false); err != nil || u.last().URL.Path != "/bot7123456789:AAtrue_value-0000000000000/x" {
		t.Errorf("with its stand-in in the path: %v, %s", err, u.last().URL.Path)
	}
	n := u.count()
	for name, c := range map[string]struct {
		handle, url, header string
		code                fault.Code
	}{
		"own login":       {"forge", u.url("/x"), "Bearer x", fault.StandInMisplaced},
		"its stand-in":    {"forge", u.url("/x"), "Bearer " + standIn, fault.StandInMisplaced},
		"of another":      {"bot", u.url("/x"), "Bearer " + standIn, fault.StandInMisplaced},
		"plain http":      {"forge", strings.Replace(u.url("/x"), "https", "http", 1), "", fault.HTTPSRequired},
		"another host":    {"forge", "https://evil.test/x", "", fault.HostNotAllowed},
		"user in the url": {"forge", strings.Replace(u.url("/x"), "://", "://a:b@", 1), "", fault.HTTPSRequired},
		"denied":          {"forge", u.url("/keys"), "", fault.RequestNotAllowed},
		"two ways":        {"forge", u.url("/a/../keys"), "", fault.RequestNotAllowed},
		"no such":         {"nobody", u.url("/x"), "", fault.UnknownResource},
		"no place":        {"none", u.url("/x"), "", fault.DeliveryRefused},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{"Authorization", c.header}
		}
		if _, b, err := r.ask(t, c.handle, "GET", c.url, false, headers...); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v %s", name, err, b)
		}
	}
	if u.count() != n {
		t.Error("one of them arrived")
	}
	for _, e := range r.wait(t, 4) {
		if strings.Contains(fmt.Sprint(e), "7123456789") || e.Decision == egress.Allowed && !e.Credential {
			t.Errorf("%+v", e)
		}
	}
}

// TestAttack40_OnlyACaptureReachesKeyEndpoints: what a person lifted is for the broker's own captured requests.
func TestAttack40_OnlyACaptureReachesKeyEndpoints(t *testing.T) {
	u := newUpstream(t, echo)
	res := u.resource()
	base := res.Rules
	res.Rules = []policy.HostRule{{Host: host, Port: u.port, KeyEndpoints: true}}
	res.Mints = policy.Lifted(res.Rules, base)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}, Matcher: matcher(t, truth)})
	if _, _, err := r.ask(t, "forge", "POST", u.url("/keys"), false); fault.CodeOf(err) != fault.RequestNotAllowed || !strings.Contains(err.Error(), "capture") {
		t.Errorf("without capture: %v", err)
	}
	if resp, b := get(t, r.client(t, false, false), "POST", u.url("/keys"), "Authorization", "Bearer "+standIn); resp.StatusCode != 403 || !strings.Contains(b, "capture") {
		t.Errorf("by a command: %d %s", resp.StatusCode, b)
	}
	if u.count() != 0 {
		t.Error("one arrived")
	}
	if status, _, err := r.ask(t, "forge", "POST", u.url("/keys"), true); err != nil || status != 200 {
		t.Errorf("with capture: %d %v", status, err)
	}
}

// TestValuesThatCannotStand: a locked vault or a value with a line end is an answer, not a request.
func TestValuesThatCannotStand(t *testing.T) {
	u := newUpstream(t, echo)
	for name, c := range map[string]struct {
		value func() (secret.Secret, error)
		code  fault.Code
		path  bool
	}{
		"locked": {func() (secret.Secret, error) {
			return secret.Secret{}, fault.New(fault.VaultLocked, "the vault is locked", "unlock it")
		}, fault.VaultLocked, false},
		"unknown":   {func() (secret.Secret, error) { return secret.Secret{}, errors.New("dial tcp: " + truth) }, fault.SecretInvalid, false},
		"empty":     {value(""), fault.SecretInvalid, false},
		"line end":  {value("abc\r\nX-Evil: 1"), fault.SecretInvalid, false},
		"zero":      {value("abc\x00def"), fault.SecretInvalid, false},
		"slash":     {value("abc/../../keys"), fault.SecretInvalid, true},
		"dots":      {value(".."), fault.SecretInvalid, true},
		"percent":   {value("a%2fb"), fault.SecretInvalid, true},
		"semicolon": {value("a;b"), fault.SecretInvalid, true},
	} {
		res := u.resource()
		s := egress.Swap{Placeholder: standIn, Header: "Authorization", Template: "Bearer {value}", Value: c.value}
		path, headers := "/x", []string{"Authorization", "Bearer " + standIn}
		if c.path {
			s.Header, s.Template, s.Path = "", "", "/{value}/"
			path, headers = "/"+standIn+"/x", nil
		}
		res.Swaps = []egress.Swap{s}
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}})
		if _, b := get(t, r.client(t, false, false), "GET", u.url(path), headers...); !contains(b, string(c.code)) || leaks(b) {
			t.Errorf("%s: %s", name, b)
		}
		if e := r.wait(t, 1)[0]; e.Decision != egress.Failed || e.Code != c.code {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if u.count() != 0 {
		t.Error("a request arrived")
	}
}

// TestTwoResourcesForOneHost: the placeholder says whose credential goes along; both may, where both allow it.
func TestTwoResourcesForOneHost(t *testing.T) {
	u := newUpstream(t, echo)
	second := u.resource()
	second.Handle, second.Swaps = "second", []egress.Swap{{Placeholder: "sk-standin-of-the-second-00000000", Header: "X-Api-Key", Template: "{value}", Value: value("sk-true-value-of-the-second-00000")}}
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource(), second}})
	c := r.client(t, false, false)
	for _, q := range []struct{ auth, key, sawAuth, sawKey, who string }{
		{"Bearer " + standIn, "", "Bearer " + truth, "", "forge"}, {"", "sk-standin-of-the-second-00000000", "", "sk-true-value-of-the-second-00000", "second"},
		{"Bearer " + standIn, "sk-standin-of-the-second-00000000", "Bearer " + truth, "sk-true-value-of-the-second-00000", "forge,second"}, {"", "", "", "", "forge"},
	} {
		var headers []string
		for name, v := range map[string]string{"Authorization": q.auth, "X-Api-Key": q.key} {
			if v != "" {
				headers = append(headers, name, v)
			}
		}
		before := len(r.events)
		resp, b := get(t, c, "GET", u.url("/x"), headers...)
		last := u.last()
		if resp.StatusCode != 200 || last.Header.Get("Authorization") != q.sawAuth || last.Header.Get("X-Api-Key") != q.sawKey || strings.Contains(b, "sk-true") {
			t.Errorf("%+v: %d %s", q, resp.StatusCode, b)
		}
		if e := r.wait(t, before+1)[before]; e.Resource != q.who || e.Credential != (q.auth+q.key != "") {
			t.Errorf("%+v", e)
		}
	}
	apart := second
	apart.Private, apart.Resolve, apart.Rules = false, nil, second.Rules
	r = newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource(), apart}})
	if resp, b := get(t, r.client(t, false, false), "GET", u.url("/x"), "Authorization", "Bearer "+standIn, "X-Api-Key", "sk-standin-of-the-second-00000000"); resp.StatusCode != 403 || !contains(b, "different ways") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// TestRoundTripUnread: a reply that nobody reads does not hold up the end of the run.
func TestRoundTripUnread(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.CopyN(w, zeros{}, 1<<20) })
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	q, _ := http.NewRequest("GET", u.url("/x"), nil)
	resp, err := r.RoundTrip(t.Context(), "forge", q, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("what was cut looks whole")
	}
	if e := r.wait(t, 1)[0]; e.Decision != egress.Failed {
		t.Errorf("%+v", e)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.RoundTrip(t.Context(), "forge", q, false); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("after the end: %v", err)
	}
}
