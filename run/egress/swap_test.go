package egress_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// echo answers with the credential that it saw.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Echo", r.Header.Get("Authorization"))
	_, _ = fmt.Fprintf(w, "%s saw %q %q %s", r.Proto, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.URL.Path)
}

// get makes a request with headers, name value name value….
func get(t testing.TB, c *http.Client, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestSwap: in each of its places the placeholder becomes the value on the way out, and the value the placeholder on the way back.
func TestSwap(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for name, c2 := range map[string]struct{ path, header, sent, saw string }{
			"bearer":      {"/x", "Authorization", "Bearer " + standIn, "Bearer " + truth},
			"small":       {"/x", "Authorization", "bearer " + standIn, "Bearer " + truth},
			"token":       {"/x", "Authorization", "token " + standIn, "token " + truth},
			"password":    {"/x", "Authorization", basic("me", standIn), basic("me", truth)},
			"user":        {"/x", "Authorization", basic(standIn, "x-oauth-basic"), basic(truth, "x-oauth-basic")},
			"user alone":  {"/x", "Authorization", basic(standIn, ""), basic(truth, "")},
			"bare":        {"/x", "X-Api-Key", standIn, truth},
			"path":        {"/bot" + standIn + "/getMe", "", "", "/bot" + truth + "/getMe"},
			"path, again": {"/%62ot" + standIn + "/a%20b", "", "", "/bot" + truth + "/a b"},
			"none":        {"/x", "", "", ""},
		} {
			var headers []string
			if c2.header != "" {
				headers = []string{c2.header, c2.sent}
			}
			resp, body := get(t, c, "GET", u.url(c2.path), headers...)
			last := u.last()
			saw := last.URL.Path
			if c2.header != "" {
				saw = last.Header.Get(c2.header)
			} else if c2.saw == "" {
				saw = last.Header.Get("Authorization")
			}
			if resp.StatusCode != 200 || saw != c2.saw {
				t.Errorf("%s: status %d, the host saw %q, not %q", name, resp.StatusCode, saw, c2.saw)
			}
			if strings.Contains(body+resp.Header.Get("X-Echo"), truth) || strings.Contains(body, basic("me", truth)[10:30]) {
				t.Errorf("%s: the value came back: %s", name, body)
			}
			if name == "bearer" && (!strings.Contains(body, standIn) || resp.Header.Get("X-Echo") != "Bearer "+standIn) {
				t.Errorf("%s: the stand-in did not come back: %s", name, body)
			}
		}
	})
	for _, e := range r.wait(t, 40) {
		if e.Decision != egress.Allowed || e.Host != host || e.Resource != "forge" || strings.Contains(fmt.Sprint(e), truth) || strings.Contains(e.Path, standIn) || e.Down == 0 {
			t.Errorf("%+v", e)
		}
	}
}
