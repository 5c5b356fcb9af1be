//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// A vault that nobody uses is locked by itself, and health says so; a status that is asked for again and again is no use.
func TestALockOfItself(t *testing.T) {
	p := initialised(t)
	p.configure("lock_after_s: 0", "lock_after_s: 1")
	c := p.cmd("serve", "--listen", "127.0.0.1:0")
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var line struct{ Msg, Listen, Why string }
	wait := func(msg string) {
		t.Helper()
		for line.Msg != msg && lines.Scan() {
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("%s", lines.Bytes())
			}
		}
	}
	wait("serving")
	at := line.Listen
	wait("locked")
	if line.Why != "idle" {
		t.Errorf("%+v", line)
	}
	if !p.status().Locked {
		t.Error("status does not say so")
	}
	for path, want := range map[string]string{"/healthz": `200 {"status":"ok"}`, "/readyz": `503 {"status":"locked"}`} {
		resp, err := http.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := resp.Status[:4] + strings.TrimSpace(string(b)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}
