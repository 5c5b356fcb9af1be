//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestServeInTheForeground is the daemon as systemd starts it.
func TestServeInTheForeground(t *testing.T) {
	p := initialised(t)
	for range 2 { // the second finds nothing of the first in its way
		c := p.cmd("serve", "--listen", "127.0.0.1:0")
		log, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		c.Stdout = &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(log)
		var line struct{ Msg, Listen string }
		for line.Msg != "serving" && lines.Scan() {
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("the log is no JSON lines: %s", lines.Bytes())
			}
		}
		s := p.status()
		if s.PID != c.Process.Pid || s.Listen != line.Listen {
			t.Fatalf("pid %d, listen %q; want %d, %q", s.PID, s.Listen, c.Process.Pid, line.Listen)
		}
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/api/v1/resources": 401} {
			resp, err := http.Get("http://" + line.Listen + path)
			closed(t, path, resp, err, want)
		}
		resp, err := http.Post("http://"+line.Listen+"/mcp", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		closed(t, "/mcp without a token", resp, err, 401)
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if err := c.Wait(); err != nil || out.Len() > 0 {
			t.Fatalf("told to end: %v, stdout %q", err, &out)
		}
	}
}

func closed(t *testing.T, what string, resp *http.Response, err error, want int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("%s: %d, want %d", what, resp.StatusCode, want)
	}
}

func TestServeOffLoopbackNeedsTLS(t *testing.T) {
	p := initialised(t)
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		if r := p.run("", "serve", "--listen", addr); r.code == 0 || !strings.Contains(r.stderr, "next:") {
			t.Errorf("%s: %v", addr, r)
		}
	}
	if r := p.run("", "serve", "--listen", "nonsense"); r.code == 0 || r.code == 1 {
		t.Errorf("nonsense: %v", r)
	}
}

func TestDoorEndsInPeace(t *testing.T) {
	p := initialised(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		d := p.open()
		d.greet()
		if err := d.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Wait(); err != nil || d.stderr.Len() > 0 {
			t.Errorf("%v: %v, stderr %q", s, err, &d.stderr)
		}
	}
}

func TestDoorTakesOnlyAgentsTokens(t *testing.T) {
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	agent := strings.TrimSpace(p.ok("agent", "add", "ci"))
	operator := strings.TrimSpace(p.ok("agent", "add", "boss", "--role", "operator"))
	d := p.open("ZAVHOZ_AGENT_TOKEN=" + agent)
	d.greet()
	d.serves()
	for name, token := range map[string]string{"an operator's": operator, "a made-up one": agent[:len(agent)-4] + "AAAA", "none at all": "hunter2"} {
		d := p.open("ZAVHOZ_AGENT_TOKEN=" + token)
		m := d.receive(d.send("initialize", handshake()))
		if m.Error == nil || !strings.Contains(string(m.Error.Data), `"unauthenticated"`) || strings.Contains(string(m.Error.Data)+m.Error.Message, token) {
			t.Errorf("%s token: %+v", name, m)
		}
	}
	// removed, it opens nothing from then on: also at a door that is open
	p.ok("agent", "rm", "ci", "--yes")
	m := d.receive(d.send("tools/call", map[string]any{"name": "list_resources", "arguments": map[string]any{}}))
	if m.Error == nil && !strings.Contains(string(m.Result), `"isError":true`) {
		t.Errorf("a removed agent's open door gives %s", m.Result)
	}
}
