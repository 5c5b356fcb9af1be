package web_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/web"
)

// visitor is a browser on the street.
type visitor struct {
	s      *street
	header http.Header
}

func (s *street) visitor(header ...string) *visitor {
	v := &visitor{s, http.Header{"Origin": {s.url}, "Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/x-www-form-urlencoded"}}}
	for i := 0; i < len(header); i += 2 {
		if v.header.Set(header[i], header[i+1]); header[i+1] == "" {
			v.header.Del(header[i])
		}
	}
	return v
}

func (v *visitor) do(method, path, body string) (int, http.Header, string) {
	v.s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, v.s.url+path, strings.NewReader(body))
	must(v.s.t, err)
	req.Header = v.header.Clone()
	resp, err := http.DefaultClient.Do(req)
	must(v.s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(v.s.t, err)
	hunt(v.s.t, method+" "+path, string(b)+fmt.Sprint(resp.Header))
	return resp.StatusCode, resp.Header, string(b)
}

// post sends a form, and holds the page that comes to what it must and must not hold.
func (v *visitor) post(path string, form url.Values, status int, holds string, not ...string) string {
	v.s.t.Helper()
	code, _, body := v.do("POST", path, form.Encode())
	if code != status || !strings.Contains(body, holds) || slices.ContainsFunc(not, func(s string) bool { return strings.Contains(body, s) }) {
		v.s.t.Errorf("POST %s: %d %s\nwant %d with %q, without %q", path, code, body, status, holds, not)
	}
	return body
}

// asked makes a request of an agent's, and the code for it.
func (s *street) asked(q vault.SecretRequest) (path, code string, i vault.Intake) {
	s.t.Helper()
	who := vault.Actor{Type: "agent", ID: s.agentID("asker"), Name: "asker", Door: "stdio"}
	i, err := s.RequestSecret(ctx, who, q)
	must(s.t, err)
	_, code, err = s.IntakeCode(ctx, vault.OperatorActor(), i.ID)
	must(s.t, err)
	return "/intake/" + i.ID, code, i
}

func (s *street) agentID(name string) string {
	all, err := s.ListAgents(ctx)
	must(s.t, err)
	for _, a := range all {
		if a.Name == name {
			return a.ID
		}
	}
	a, _, err := s.AddAgent(ctx, vault.OperatorActor(), vault.NewAgent{Name: name, Grants: vault.Grants{Projects: []string{"*"}, Kinds: []string{"*"}}})
	must(s.t, err)
	return a.ID
}

// sshKey makes a private key, in the many lines that such a one has.
func sshKey(t *testing.T) []byte {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	return pem.EncodeToMemory(block)
}

// TestAPersonGivesASecretOnAPage: by link and code, once; nothing of the request is told before, nothing of the value ever.
func TestAPersonGivesASecretOnAPage(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	reason := `the <b>bot</b> "answers" & more`
	path, code, i := s.asked(vault.SecretRequest{Project: "default", Key: "OPENAI_API_KEY", Reason: reason})
	v := s.visitor()
	status, h, body := v.do("GET", path, "")
	if status != 200 || strings.Contains(body, "OPENAI") || strings.Contains(body, "asker") || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v %s", status, h, body)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	_, _, none := v.do("GET", "/intake/"+id.New(id.Intake), "")
	if strings.ReplaceAll(none, none[strings.Index(none, "itk_"):][:30], i.ID) != body {
		t.Errorf("a page tells whether there is such a request: %s", none)
	}
	if _, h, css := v.do("GET", "/intake/style.css", ""); !strings.HasPrefix(h.Get("Content-Type"), "text/css") || !strings.Contains(css, "color-scheme") {
		t.Errorf("%v %.80s", h, css)
	}
	if s.used != 0 {
		t.Errorf("a look at a page counts as use of the vault: %d", s.used)
	}
	v.post(path, url.Values{"code": {"AAAA-BBBB-CCCC-DDDD"}}, 401, "That is not the code", "OPENAI", "asker")
	v.post("/intake/"+id.New(id.Intake), url.Values{"code": {code}}, 401, "That is not the code", "OPENAI")
	body = v.post(path, url.Values{"code": {strings.ToLower(code)}}, 200, "OPENAI_API_KEY", "<b>bot")
	if !strings.Contains(body, "the &lt;b&gt;bot&lt;/b&gt; &#34;answers&#34; &amp; more") || !strings.Contains(body, "the assistant <code>asker</code>") {
		t.Errorf("%s", body)
	}
	v.post(path, url.Values{"code": {code}, "give": {"1"}, "value": {""}}, 422, "OPENAI_API_KEY is not valid", "--")
	v.post(path, url.Values{"code": {"AAAA-BBBB-CCCC-DDDD"}, "give": {"1"}, "value": {canary}}, 401, "That is not the code")
	v.post(path, url.Values{"code": {code}, "give": {"1"}, "value": {canary + "\r\n"}}, 200, "sealed", "AAAA")
	v.post(path, url.Values{"code": {code}}, 401, "That is not the code", "OPENAI")
	v.post(path, url.Values{"code": {code}, "give": {"1"}, "value": {"another-value-1"}}, 401, "That is not the code", "OPENAI")
	now, err := s.Intake(ctx, vault.OperatorActor(), i.ID)
	must(t, err)
	if now.State != vault.IntakeGiven || now.EndedBy != "intake" {
		t.Errorf("%+v", now)
	}
	_, all, err := s.ProjectSecrets(ctx, vault.OperatorActor(), "default")
	must(t, err)
	if len(all) != 1 || !all[0].Filled || all[0].Class != "medium" {
		t.Errorf("%+v", all)
	}
}

// TestAttack63_AGuessCountsOnce: a form with a wrong code and a value is one try, not two.
func TestAttack63_AGuessCountsOnce(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	path, code, _ := s.asked(vault.SecretRequest{Project: "default", Key: "A", Reason: "x"})
	guess := url.Values{"code": {"AAAA-BBBB-CCCC-DDDD"}, "give": {"1"}, "value": {"of-a-stranger"}}
	for range vault.MaxTries - 1 {
		s.visitor().post(path, guess, 401, "That is not the code")
	}
	s.visitor().post(path, url.Values{"code": {code}}, 200, "<code>A</code>")
	s.visitor().post(path, guess, 401, "That is not the code")
	s.visitor().post(path, url.Values{"code": {code}}, 401, "That is not the code")
}

// TestAPersonGivesAResourceOnAPage: what was not taken is not typed again, but for what is secret.
func TestAPersonGivesAResourceOnAPage(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	path, code, _ := s.asked(vault.SecretRequest{Kind: "api_key", Handle: "openai_main", Reason: "to ask the model"})
	v := s.visitor()
	v.post(path, url.Values{"code": {code}}, 200, `name="secret.key" type="password" required`, canary)
	give := url.Values{"code": {code}, "give": {"1"}, "handle": {"openai_team"}, "secret.key": {canary}, "attr.env": {`"><script>x`}, "attr.service": {""}}
	v.post(path, give, 400, `value="openai_team"`, canary, "--set", "<script>")
	give.Set("attr.service", "openai")
	give.Del("attr.env")
	v.post(path, give, 200, "<code>openai_team</code> is", canary)
	r, err := s.Resource(ctx, "openai_team")
	must(t, err)
	if r.Attrs["service"] != "openai" || r.UpdatedBy != "intake" {
		t.Errorf("%+v", r)
	}
	// A key of many lines arrives as it was: a browser sends each line end as CR LF.
	path, code, _ = s.asked(vault.SecretRequest{Kind: "server", Handle: "vps", Reason: "to deploy"})
	key := string(sshKey(t))
	give = url.Values{"code": {code}, "give": {"1"}, "handle": {"vps"}, "attr.user": {"deploy"}, "secret.host": {"192.0.2.7"}, "secret.ssh_key": {strings.ReplaceAll(key, "\n", "\r\n")}}
	v.post(path, give, 200, "<code>vps</code> is")
}

// TestAttack53_FormsComeFromThePageItself: a page of another origin, a program that rebinds a name and a link followed from anywhere.
func TestAttack53_FormsComeFromThePageItself(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	path, code, _ := s.asked(vault.SecretRequest{Project: "default", Key: "A", Reason: "x"})
	form := url.Values{"code": {code}, "give": {"1"}, "value": {"of-another-page"}}.Encode()
	for name, v := range map[string]*visitor{
		"another site":       s.visitor("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"),
		"the same site":      s.visitor("Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"),
		"a sandboxed frame":  s.visitor("Origin", "null", "Sec-Fetch-Site", "cross-site"),
		"an old browser":     s.visitor("Origin", "https://evil.example", "Sec-Fetch-Site", ""),
		"without an origin":  s.visitor("Origin", "", "Sec-Fetch-Site", "cross-site"),
		"JSON in its place":  s.visitor("Content-Type", "application/json"),
		"text in its place":  s.visitor("Content-Type", "text/plain"),
		"a form with a file": s.visitor("Content-Type", "multipart/form-data; boundary=x"),
	} {
		status, _, body := v.do("POST", path, form)
		if status < 400 || strings.Contains(body, "sealed") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _, _ := s.visitor("Origin", "", "Sec-Fetch-Site", "cross-site").do("GET", path, ""); status != 200 {
		t.Errorf("a link is not followed: %d", status)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	must(t, err)
	req.Host = "rebound.example"
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("a rebound name: %d", resp.StatusCode)
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		if status, _, _ := s.visitor().do(method, path, form); status != 405 {
			t.Errorf("%s: %d", method, status)
		}
	}
	s.visitor().post(path, url.Values{"code": {code}}, 200, "<code>A</code>") // and nothing of it was done
}

// TestAttack67_FormsAreStrict: what is no form does nothing, and is not repeated.
func TestAttack67_FormsAreStrict(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	path, code, i := s.asked(vault.SecretRequest{Project: "default", Key: "A", Reason: "x"})
	v := s.visitor()
	good := "code=" + code + "&give=1&value="
	for name, body := range map[string]string{
		"twice": good + "a-value-1&value=" + canary, "cut": good + "%4", "no hex": good + "%zz" + canary, "no text": good + "%ff%fe" + canary, "zero": good + "a%00b" + canary,
		"no name": good + "x&=" + canary, "too large": good + strings.Repeat("a", 5<<20), "long": good + strings.Repeat("a", 70<<10), "empty": "", "code twice": "code=" + code + "&code=" + code,
	} {
		status, _, got := v.do("POST", path, body)
		if status < 400 || strings.Contains(got, canary) {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	now, err := s.Intake(ctx, vault.OperatorActor(), i.ID)
	must(t, err)
	if now.State != vault.IntakeWaiting {
		t.Errorf("%+v", now)
	}
}

// FuzzForm: whatever net/url reads of a body without complaint, we read alike or refuse.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=b", "a=b&c=%20d+e", "a", "a=", "=b", "a=b&a=c", "a=%", "a=%zz", "%41=b&&", "a=b;c=d", "a=b=c", "é=%C3%A9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wantErr := url.ParseQuery(string(body))
		got, err := web.ParseForm(slices.Clone(body))
		if err != nil {
			return
		}
		for name, value := range got {
			if strings.Contains(name+string(body), ";") {
				continue // net/url refuses it; in a form it is a letter like any other
			}
			if wantErr != nil || len(want[name]) != 1 || want[name][0] != string(value) {
				t.Errorf("%q: %q is %q, net/url says %q, %v", body, name, value, want[name], wantErr)
			}
		}
		if wantErr == nil && len(got) != len(want) {
			t.Errorf("%q: %d names, net/url has %d", body, len(got), len(want))
		}
	})
}
