package egress_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// A stand-in in the address, as it is or encoded, is refused with the place where it counts: the host would only say that the login is wrong.
func TestAttack39_PlaceholderInTheAddress(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	percent := ""
	for _, c := range []byte(standIn) {
		percent += fmt.Sprintf("%%%02x", c)
	}
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for _, path := range []string{
			"/x?key=" + standIn, "/x?a=b&key=" + standIn + "&c", "/x?key=" + percent, "/x?" + standIn, "/v1/" + standIn + "/x", "/v1/" + percent, "/bot" + standIn, "/x/bot" + standIn + "/y",
			"/bot" + standIn + "/y/" + standIn, "/bot" + standIn + "/y?key=" + standIn, "/x?key=%zz" + percent,
		} {
			resp, b := get(t, c, "GET", u.url(path))
			if resp.StatusCode != 400 || !contains(b, "stand_in_misplaced", "forge", "Authorization: Bearer", "X-Api-Key", "/bot{value}/") || leaks(b) {
				t.Errorf("%s: %d %s", path, resp.StatusCode, b)
			}
		}
		if u.count() != 0 {
			t.Errorf("%d arrived", u.count())
		}
		if resp, _ := get(t, c, "GET", u.url("/bot"+standIn+"/y?a="+standIn[:20])); resp.StatusCode != 200 {
			t.Errorf("%d", resp.StatusCode)
		}
		u.forget()
	})
}

// A body may hold the stand-in rightly, as a file does: it goes up as it is, and the record says where the value would have gone. It is found wherever it stands,
// however it comes, and told once.
func TestAttack39_PlaceholderInABodyIsTold(t *testing.T) {
	var got []byte
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusUnauthorized)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	big := strings.Repeat("x", 200_000)
	told := 0
	for _, c := range []struct {
		name string
		body io.Reader
		want bool
	}{
		{"alone", strings.NewReader(standIn), true},
		{"a form", strings.NewReader("a=b&client_secret=" + url.QueryEscape(standIn)), true},
		{"far in", strings.NewReader(big + standIn + big), true},
		{"byte by byte", dripping{strings.NewReader("key=" + standIn + standIn + "!")}, true},
		{"its half", strings.NewReader(big + standIn[:len(standIn)-1] + "?" + standIn[1:]), false},
		{"none", strings.NewReader(big), false},
		{"empty", nil, false},
	} {
		q, err := http.NewRequest("POST", u.url("/x"), c.body)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "text/plain")
		resp, err := r.client(t, false, c.name == "far in").Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		told++
		e := r.wait(t, told)[told-1]
		if resp.StatusCode != 401 || (e.Hint != "") != c.want || e.Decision != egress.Allowed || strings.Contains(e.Hint, standIn) || c.want && !contains(e.Hint, "forge", "Authorization: Bearer {stand-in}") || strings.Count(e.Hint, "the body") > 1 {
			t.Errorf("%s: %d %+v", c.name, resp.StatusCode, e)
		}
		if c.want && !bytes.Contains(got, []byte(standIn)) {
			t.Errorf("%s: it did not arrive as it was", c.name)
		}
	}
}

// dripping gives a byte a Read.
type dripping struct{ io.Reader }

func (d dripping) Read(p []byte) (int, error) { return d.Reader.Read(p[:1]) }

// The same with curl, as a model would write it.
func TestCurlIsToldWhereTheCredentialGoes(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusUnauthorized)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte("TOKEN="+standIn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := r.program(t, "curl", "-sS", u.url("/x?api_key="+standIn)); !contains(out, "stand_in_misplaced", "Authorization: Bearer {stand-in}") {
		t.Errorf("query: %s", out)
	}
	if out := r.program(t, "curl", "-sS", "-H", "X-Token: "+standIn, u.url("/x")); !contains(out, "stand_in_misplaced", "Authorization: Bearer {stand-in}") {
		t.Errorf("header: %s", out)
	}
	for i, args := range [][]string{{"-d", "key=" + standIn}, {"-F", "f=@" + file}, {"-T", file}} {
		r.program(t, "curl", append([]string{"-sS", u.url("/x")}, args...)...)
		if e := r.wait(t, 3+i)[2+i]; !strings.Contains(e.Hint, "the body holds the stand-in of forge") {
			t.Errorf("%v: %+v", args, e)
		}
	}
}

// Every kind's hint reaches a model whole: the rules for other people's secrets, which stand between, do not take it for a login.
func TestHintsPassTheRedactor(t *testing.T) {
	u := newUpstream(t, echo)
	type resource struct {
		kind, field string
		attrs       map[string]string
	}
	all := []resource{{"telegram_bot", "token", map[string]string{}}, {"generic", "value", map[string]string{}}, {"domain", "token", map[string]string{}}}
	for _, s := range kind.Services() {
		if s.Refused == "" && s.NoStandIn == "" {
			all = append(all, resource{"api_key", "key", map[string]string{"service": s.Name, "username": "AC0123"}})
		}
	}
	tried := 0
	for _, a := range all {
		if k, err := kind.Get(a.kind); err != nil || k.Swaps == nil {
			continue
		}
		res, ph := u.resourceOf(t, "mine", a.kind, a.field, "true-value-of-the-resource-0123456789abcdef", a.attrs)
		if len(res.Swaps) == 0 || len(res.Rules) == 0 {
			continue
		}
		tried++
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}})
		host := strings.TrimPrefix(res.Rules[0].Host, "*.")
		if host != res.Rules[0].Host {
			host = "a." + host
		}
		_, b := get(t, r.client(t, false, false), "GET", fmt.Sprintf("https://%s:%d/v1/x", host, u.port), "X-Note", ph)
		var problem struct{ Code, Next string }
		if err := json.Unmarshal([]byte(b), &problem); err != nil || problem.Code != "stand_in_misplaced" {
			t.Errorf("%v: %s", a, b)
		}
		for _, text := range []string{b, problem.Next, "< " + problem.Next, `{"body":` + quoted(problem.Next) + `}`} {
			var out bytes.Buffer
			f := redact.Foreign(&out, redact.ForeignOptions{})
			if _, err := io.WriteString(f, text); err != nil || f.Close() != nil || out.String() != text {
				t.Errorf("%v: %q is shown as %q", a, text, out.String())
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d kinds and services were tried", tried)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// What carries a stand-in in a basic login's other forms is still refused.
func TestAttack39_PlaceholderInAnotherLogin(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	c := r.client(t, false, false)
	for _, v := range []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("a:b"+standIn)), "Negotiate " + standIn} {
		if resp, b := get(t, c, "GET", u.url("/x"), "Authorization", v); resp.StatusCode != 400 || !contains(b, "stand_in_misplaced") {
			t.Errorf("%s: %d %s", v, resp.StatusCode, b)
		}
	}
}
