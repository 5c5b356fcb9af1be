package egress_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
)

// TestCurl: both protocols, the ways of logging in, and uploads, by the program that most scripts use.
func TestCurl(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			var n int
			buf := make([]byte, 64<<10)
			for {
				k, err := r.Body.Read(buf)
				if n += k; err != nil {
					break
				}
			}
			_, _ = fmt.Fprintf(w, "%d bytes", n)
			return
		}
		echo(w, r)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		saw  string // of Authorization
		out  []string
	}{
		"h2":        {[]string{"--http2", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"HTTP/2 200", "HTTP/2.0 saw"}},
		"h1":        {[]string{"--http1.1", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"HTTP/1.1 200", "HTTP/1.1 saw"}},
		"basic":     {[]string{"-u", "me:" + standIn}, basic("me", truth), []string{"200"}},
		"oauth":     {[]string{"--oauth2-bearer", standIn}, "Bearer " + truth, []string{"200"}},
		"gzip":      {[]string{"--compressed", "-H", "Authorization: token " + standIn}, "token " + truth, []string{"200"}},
		"head":      {[]string{"-I", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"200"}},
		"upload h1": {[]string{"--http1.1", "-T", big, "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"3145728 bytes"}},
		"upload h2": {[]string{"--http2", "-T", big, "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"3145728 bytes"}},
		"continue":  {[]string{"--http1.1", "-T", big, "-H", "Expect: 100-continue", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"3145728 bytes"}},
		"chunked":   {[]string{"--http1.1", "-T", big, "-H", "Transfer-Encoding: chunked", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"3145728 bytes"}},
		"range":     {[]string{"-r", "0-4", "-H", "Authorization: Bearer " + standIn}, "Bearer " + truth, []string{"200"}},
	} {
		u.forget()
		out := r.program(t, "curl", append([]string{"-sS", "-i", "-m", "60", u.url("/x")}, c.args...)...)
		if last := u.last(); !contains(out, c.out...) || leaks(out) || last == nil || last.Header.Get("Authorization") != c.saw {
			t.Errorf("%s: %s", name, out)
		}
	}
	// what is refused is told in words that a model can act on
	if out := r.program(t, "curl", "-sS", "-i", u.url("/keys"), "-H", "Authorization: Bearer "+standIn); !contains(out, "HTTP/2 403", "application/problem+json", "request_not_allowed", `"next":"it allows`) {
		t.Errorf("%s", out)
	}
	for _, version := range []string{"--http1.1", "--http2"} { // also while megabytes are on their way
		if out := r.program(t, "curl", "-sS", "-i", version, "-T", big, u.url("/keys"), "-H", "Authorization: Bearer "+standIn, "-H", "Expect:"); !contains(out, " 403", "request_not_allowed") {
			t.Errorf("%s: %s", version, out)
		}
	}
	if out := r.program(t, "curl", "-sS", "-v", "https://evil.test/"); !contains(out, "403 no resource of this run allows this host") {
		t.Errorf("%s", out)
	}
}

// TestPython: urllib and, where it is there, requests find the proxy and the authority by the environment.
func TestPython(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	scripts := map[string]string{"urllib": `import os, urllib.request as u
print(u.urlopen(u.Request("%s", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})).read().decode())`,
		"http.client": `import os, ssl, http.client, urllib.parse
p = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"]); d = urllib.parse.urlsplit("%s")
c = http.client.HTTPSConnection(p.hostname, p.port, context=ssl.create_default_context()); c.set_tunnel(d.hostname, d.port)
c.request("GET", d.path, headers={"Authorization": "Bearer " + os.environ["TOKEN"]}); print(c.getresponse().read().decode())`}
	if exec.Command("python3", "-c", "import requests").Run() == nil {
		scripts["requests"] = `import os, requests
print(requests.get("%s", headers={"Authorization": "Bearer " + os.environ["TOKEN"]}).text)`
	}
	for name, script := range scripts {
		u.forget()
		out := r.program(t, "python3", "-c", fmt.Sprintf(script, u.url("/x")))
		if last := u.last(); !contains(out, "saw", standIn) || leaks(out) || last == nil || last.Header.Get("Authorization") != "Bearer "+truth {
			t.Errorf("%s: %s", name, out)
		}
	}
	out := r.program(t, "python3", "-c", `import urllib.request as u
u.urlopen("https://evil.test/")`)
	if !contains(out, "no resource of this run allows this host") {
		t.Errorf("the refusal's words are lost: %s", out)
	}
}

// TestNode: its TLS trusts the run's authority by the environment. Old releases know no proxy, so it comes by the transparent entry, as in a namespace.
func TestNode(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Log("no node on this machine: the environment alone is checked, by TestEnvironment")
		return
	}
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	name, port, err := net.SplitHostPort(r.transparent)
	if err != nil {
		t.Fatal(err)
	}
	script := `const q = require("https").request({host: "` + name + `", port: ` + port + `, servername: "` + host + `", path: "/x",
  headers: {Host: "` + fmt.Sprintf("%s:%d", host, u.port) + `", Authorization: "Bearer " + process.env.TOKEN}}, r => { r.setEncoding("utf8"); r.on("data", d => process.stdout.write(d)) });
q.on("error", e => console.log(e)); q.end()`
	out := r.program(t, "node", "-e", script)
	if last := u.last(); !contains(out, "saw", standIn) || leaks(out) || last == nil || last.Header.Get("Authorization") != "Bearer "+truth {
		t.Errorf("%s", out)
	}
	h2 := `const s = require("http2").connect("https://` + name + `:` + port + `", {servername: "` + host + `"}); s.on("error", e => console.log(e));
const q = s.request({":authority": "` + fmt.Sprintf("%s:%d", host, u.port) + `", ":path": "/x", authorization: "Bearer " + process.env.TOKEN});
q.setEncoding("utf8"); q.on("data", d => process.stdout.write(d)); q.on("end", () => s.close()); q.end()`
	if out := r.program(t, "node", "-e", h2); !contains(out, "HTTP/2.0 saw", standIn) || leaks(out) {
		t.Errorf("%s", out)
	}
}

// TestGit clones and pushes over https, with the token as the password, as the user, and as a header.
func TestGit(t *testing.T) {
	root := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command("git", args...)
		c.Dir, c.Env = root, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + root, "GIT_CONFIG_NOSYSTEM=1"}
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	run("init", "-q", "-b", "main", "w")
	run("-C", "w", "-c", "user.email=a@example.org", "-c", "user.name=n", "commit", "-q", "--allow-empty", "-m", "first commit")
	run("clone", "-q", "--bare", "w", "acme/shop.git")
	run("-C", "acme/shop.git", "config", "http.receivepack", "true")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=x", "HOME=" + root}}
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("Authorization") != "Bearer "+truth && password != truth && user != truth {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	for name, login := range map[string]string{"password": "x-access-token:" + standIn + "@", "user": standIn + "@", "user and word": standIn + ":x-oauth-basic@", "header": ""} {
		url := strings.Replace(u.url("/acme/shop.git"), "://", "://"+login, 1)
		header := ""
		if login == "" {
			header = "-c http.extraHeader='Authorization: Bearer " + standIn + "'"
		}
		file := strings.ReplaceAll(name, " ", "-")
		out := r.program(t, "sh", "-c", fmt.Sprintf("set -e; G=\"git -c user.email=a@example.org -c user.name=n %s\"; git %s -c credential.helper= clone -q '%s' c </dev/null; cd c; echo x > %s; git add .; $G commit -q -m %s; git %s push -q origin HEAD:main </dev/null; git log --oneline",
			"", header, url, file, file, header))
		if !contains(out, "first commit", file) || leaks(out) || strings.Contains(out, "exit status") {
			t.Errorf("%s: %s", name, out)
		}
	}
}
