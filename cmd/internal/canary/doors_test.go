package canary_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// door speaks MCP by one way in, and records every byte that comes back.
type door interface {
	// call sends a request and gives the result or the error object as text.
	call(method string, params any) string
	close()
}

// stdio is the relay's door.
type stdio struct {
	h   *house
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	n   int
}

func (h *house) stdioDoor() door {
	h.t.Helper()
	d := &stdio{h: h, cmd: exec.Command(h.bin, "mcp")}
	d.cmd.Env, d.cmd.Stderr = h.env(), tap{h, "door stderr"}
	in, err := d.cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	d.in, d.out = in, bufio.NewScanner(out)
	d.out.Buffer(nil, 16<<20)
	d.call("initialize", hello)
	return d
}

var hello = map[string]any{"protocolVersion": "2025-11-25", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "canary", "version": "1"}}

func request(n int, method string, params any) []byte {
	b, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": n, "method": method, "params": params})
	return append(b, '\n')
}

func (d *stdio) call(method string, params any) string {
	d.h.t.Helper()
	d.n++
	if _, err := d.in.Write(request(d.n, method, params)); err != nil {
		d.h.t.Fatal(err)
	}
	want := fmt.Sprintf(`"id":%d`, d.n)
	for d.out.Scan() {
		d.h.record("stdio replies", d.out.Bytes())
		if strings.Contains(d.out.Text(), want) {
			return d.out.Text()
		}
	}
	d.h.t.Fatal("the door closed")
	return ""
}

func (d *stdio) close() {
	d.h.recordProcess("door", d.cmd.Process.Pid)
	d.in.Close()
	if err := d.cmd.Wait(); err != nil {
		d.h.t.Errorf("the door ended badly: %v", err)
	}
}

// streamable is the HTTP door.
type streamable struct {
	h       *house
	session string
	n       int
}

func (h *house) httpDoor() door {
	d := &streamable{h: h}
	d.call("initialize", hello)
	return d
}

func (d *streamable) call(method string, params any) string {
	d.h.t.Helper()
	d.n++
	body, header := d.h.post("/mcp", request(d.n, method, params), d.session)
	if s := header.Get("Mcp-Session-Id"); s != "" {
		d.session = s
	}
	d.h.record("http replies", body)
	return string(body)
}

func (d *streamable) close() {}

// post sends with the agent's token and gives the body and the headers, recorded too.
func (h *house) post(path string, body []byte, session string) ([]byte, http.Header) {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+h.listen+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	h.record("http headers", []byte(fmt.Sprint(resp.Header)))
	return got, resp.Header
}

// sse is the old door: an event stream, and messages posted beside it.
type sse struct {
	h        *house
	body     io.Closer
	events   *bufio.Scanner
	endpoint string
	n        int
}

func (h *house) sseDoor() door {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+h.listen+"/sse", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("sse: status %d", resp.StatusCode)
	}
	d := &sse{h: h, body: resp.Body, events: bufio.NewScanner(resp.Body)}
	d.events.Buffer(nil, 16<<20)
	d.endpoint = strings.TrimPrefix(d.data(), "http://"+h.listen)
	d.call("initialize", hello)
	return d
}

// data waits for the next event's data.
func (d *sse) data() string {
	d.h.t.Helper()
	for d.events.Scan() {
		d.h.record("sse replies", d.events.Bytes())
		if data, ok := strings.CutPrefix(d.events.Text(), "data: "); ok {
			return data
		}
	}
	d.h.t.Fatal("the event stream ended")
	return ""
}

func (d *sse) call(method string, params any) string {
	d.h.t.Helper()
	d.n++
	body, _ := d.h.post(d.endpoint, request(d.n, method, params), "")
	d.h.record("sse posts", body)
	want := fmt.Sprintf(`"id":%d`, d.n)
	for {
		if got := d.data(); strings.Contains(got, want) {
			return got
		}
	}
}

func (d *sse) close() { d.body.Close() }

// await waits until the daemon is ready.
func (h *house) await() {
	h.t.Helper()
	for range 400 {
		resp, err := http.Get("http://" + h.listen + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
	h.t.Fatalf("the daemon is not ready: %s", h.records["daemon stderr"])
}
