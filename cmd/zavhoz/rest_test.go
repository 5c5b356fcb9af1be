//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// onHTTP is a place whose daemon listens on HTTP, in the foreground, until the test ends.
func onHTTP(t *testing.T) (p *place, url string) {
	t.Helper()
	p = initialised(t)
	url, _ = p.listens()
	return p, url
}

// listens serves the place on HTTP, in the foreground, until the test ends. log ends it, and gives what it logged.
func (p *place) listens() (url string, log func() string) {
	t := p.t
	t.Helper()
	b, err := os.ReadFile(p.dir.Config())
	if err != nil {
		t.Fatal(err)
	}
	quiet := strings.Replace(string(b), "telegram_api: https://api.telegram.org", `telegram_api: ""`, 1) // a test asks nobody
	if err := os.WriteFile(p.dir.Config(), []byte(quiet), 0o600); err != nil || quiet == string(b) {
		t.Fatal("the configuration has no telegram_api", err)
	}
	c := p.cmd("serve", "--listen", "127.0.0.1:0")
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	var line struct{ Msg, Listen string }
	var all strings.Builder
	for line.Msg != "serving" && lines.Scan() {
		all.Write(lines.Bytes())
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("the log is no JSON lines: %s", lines.Bytes())
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			all.Write(lines.Bytes())
		}
	}()
	end := sync.OnceFunc(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-read
		if err := c.Wait(); err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	t.Cleanup(end)
	return "http://" + line.Listen, func() string { end(); return all.String() }
}

// Values that no output may hold.
var restValues = map[string]string{"KEY": "sk-first-value-0001-of-rest", "DSN": "https-value-0002-of-rest", "PASSWORD": "generated-0003-of-rest"}

func noRestValue(t *testing.T, what, text string) {
	t.Helper()
	for name, v := range restValues {
		if strings.Contains(text, v) {
			t.Errorf("%s holds the value of %s: %s", what, name, text)
		}
	}
}

// TestTheCommandsOfTheRESTPage runs every command of docs/rest.md, in order, as a person pastes them.
func TestTheCommandsOfTheRESTPage(t *testing.T) {
	p, url := onHTTP(t)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	blocks := strings.Split(string(page), "```sh\n")
	for _, b := range blocks[1:] {
		code, _, ended := strings.Cut(b, "```")
		if !ended {
			t.Fatal("a block of commands does not end")
		}
		script += code + "echo\n"
	}
	if len(blocks) < 8 {
		t.Fatalf("%d blocks of commands", len(blocks)-1)
	}
	dir := shortDir(t)
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("fail-with-body\nnoproxy = *\n"), 0o600); err != nil { // else a refusal is a success to curl
		t.Fatal(err)
	}
	c := exec.Command("bash", "-c", script)
	c.Dir, c.Env = dir, append(p.env, "ZAVHOZ="+url+"/api/v1", "CURL_HOME="+dir)
	for name, v := range restValues {
		c.Env = append(c.Env, name+"="+v)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	noRestValue(t, "what the commands print", string(out))
	for _, want := range []string{
		`"status":"ok"`, `{"keys":["OPENAI_API_KEY","SENTRY_DSN"],"version":1}`, `{"keys":["OPENAI_API_KEY","POSTGRES_PASSWORD","SENTRY_DSN"],"version":2}`, `"hint":"of the account for bots"`,
		`{"keys":["OPENAI_API_KEY","POSTGRES_PASSWORD"]}`, `"modules":["backend","tg_bot"]`, `"code":"unknown_project"`, `"request_id":"deploy-0001"`,
		`"id":"secret:weather-bot:STRIPE_SECRET"`, `"command":"zavhoz project secret set weather-bot STRIPE_SECRET=-"`, `"code":"unknown_approval"`, `"code":"unknown_lease"`, `{"name":"OPENAI_API_KEY","versions":[]}`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing printed %s:\n%s", want, out)
		}
	}
}

// TestAPythonCaller: a program that was written for api_client.save_project_secret works with the ten lines of the example, under the system's Python.
func TestAPythonCaller(t *testing.T) {
	p, url := onHTTP(t)
	var project, agent struct{ ID, Token string }
	for args, into := range map[string]any{"project create weather-bot --json": &project, "agent add orchestrator --role operator --json": &agent} {
		if err := json.Unmarshal([]byte(p.ok(strings.Fields(args)...)), into); err != nil {
			t.Fatal(err)
		}
	}
	const program = `
import sys, urllib.error
import api_client
project, value = sys.argv[1], sys.stdin.read()
print(api_client.save_project_secret(project, "OPENAI_API_KEY", value))
print(api_client.save_project_secret("weather-bot", "ODD", "quote \" backslash \\ line\nend, snow \u2603"))
for name, key in ((project, "BAD-NAME"), ("none", "A")):
    try:
        api_client.save_project_secret(name, key, value)
    except urllib.error.HTTPError as e:
        print(e.code)
`
	where, err := filepath.Abs(filepath.Join("..", "..", "examples", "python"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/usr/bin/python3", "-B", "-c", program, project.ID)
	c.Env = append(cleanEnv(), "PYTHONPATH="+where, "ZAVHOZ_URL="+url, "ZAVHOZ_TOKEN="+agent.Token, "no_proxy=*")
	c.Stdin = strings.NewReader(restValues["KEY"])
	out, err := c.CombinedOutput()
	if err != nil || string(out) != "['OPENAI_API_KEY']\n['ODD', 'OPENAI_API_KEY']\n400\n404\n" {
		t.Fatalf("%v\n%s", err, out)
	}
	list := p.ok("project", "secret", "list", "weather-bot")
	if !strings.Contains(list, "orchestrator") {
		t.Errorf("who gave it is not told:\n%s", list)
	}
	noRestValue(t, "the list", list)
}
