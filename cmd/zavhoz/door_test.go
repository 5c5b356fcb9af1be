//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// stdioDoor is a running `zavhoz mcp` with the test as its client.
type stdioDoor struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string
	stderr bytes.Buffer
	last   int
}

// open starts a door; its end is checked with the test's.
func (p *place) open(env ...string) *stdioDoor {
	p.t.Helper()
	c := p.cmd("mcp")
	c.Env = append(c.Env, env...)
	return converse(p.t, c)
}

// converse starts a command that is a door.
func converse(t testing.TB, c *exec.Cmd) *stdioDoor {
	t.Helper()
	d := &stdioDoor{t: t, cmd: c, lines: make(chan string, 100)}
	d.cmd.Stderr = &d.stderr
	in, err := d.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.in = in
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				d.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(d.kill)
	return d
}

// kill ends the door as a client's crash does.
func (d *stdioDoor) kill() {
	_ = d.cmd.Process.Kill()
	_, _ = d.cmd.Process.Wait()
}

// message is a JSON-RPC reply.
type message struct {
	ID     *int            `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
}

// send writes a request and gives its id.
func (d *stdioDoor) send(method string, params any) int {
	d.t.Helper()
	d.last++
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": d.last, "method": method, "params": params})
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.in.Write(append(b, '\n')); err != nil {
		d.t.Fatalf("%s: %v\n%s", method, err, &d.stderr)
	}
	return d.last
}

// receive waits for the reply to a request; every line on the way must be MCP.
func (d *stdioDoor) receive(id int) message {
	d.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("the door ended before reply %d", id)
			}
			var m message
			var all struct {
				Version string `json:"jsonrpc"`
			}
			if json.Unmarshal([]byte(line), &all) != nil || all.Version != "2.0" || json.Unmarshal([]byte(line), &m) != nil {
				d.t.Fatalf("the door wrote what is no MCP: %s", line)
			}
			if m.ID != nil && *m.ID == id {
				return m
			}
		case <-timeout:
			d.t.Fatalf("no reply to request %d", id)
		}
	}
}

// ask sends a request that must succeed, and gives its result.
func (d *stdioDoor) ask(method string, params any) json.RawMessage {
	d.t.Helper()
	m := d.receive(d.send(method, params))
	if m.Error != nil {
		d.t.Fatalf("%s: %s %s", method, m.Error.Message, m.Error.Data)
	}
	return m.Result
}

// greet makes the handshake.
func (d *stdioDoor) greet() {
	d.t.Helper()
	d.ask("initialize", handshake())
	if _, err := io.WriteString(d.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

func handshake() map[string]any {
	return map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "test", "version": "1"}}
}

// toolResult is what a tool gave.
type toolResult struct {
	IsError    bool            `json:"isError"`
	Structured json.RawMessage `json:"structuredContent"`
	Content    []struct {
		Text string `json:"text"`
	} `json:"content"`
}

// tool calls a tool, which must not refuse.
func (d *stdioDoor) tool(name string, args, into any) {
	d.t.Helper()
	var r toolResult
	decode(d.t, string(d.ask("tools/call", map[string]any{"name": name, "arguments": args})), &r)
	if r.IsError {
		d.t.Fatalf("%s: %s", name, r.Content)
	}
	if into != nil {
		decode(d.t, string(r.Structured), into)
	}
}

// serves fails the test where the door does not list its tools and answer a call.
func (d *stdioDoor) serves() {
	d.t.Helper()
	var list struct {
		Tools []struct{ Name string } `json:"tools"`
	}
	decode(d.t, string(d.ask("tools/list", map[string]any{})), &list)
	if len(list.Tools) < 8 {
		d.t.Fatalf("%d tools: %v", len(list.Tools), list.Tools)
	}
	var found struct {
		Resources []struct{ Handle string } `json:"resources"`
	}
	d.tool("list_resources", map[string]any{}, &found)
	if len(found.Resources) == 0 {
		d.t.Fatal("list_resources gives none")
	}
}

// addGeneric adds a resource that agents find.
func (p *place) addGeneric(handle, value string) {
	p.t.Helper()
	p.okIn(value, "resource", "add", "generic", handle, "--set", "env=VALUE_OF_"+fmt.Sprintf("%X", handle), "--secret", "value=-")
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) }
