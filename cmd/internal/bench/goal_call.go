package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	hello = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	ready = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// callTool is goal 11: an audited read, list_resources of a vault with three resources, through each door of a real daemon, beside a bare mcp-go
// server in a process of its own that echoes as many bytes as such a list has.
func callTool(ctx context.Context, b *bench) ([]Row, error) {
	p, token, err := b.callee(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	addr, err := p.address(ctx)
	if err != nil {
		return nil, err
	}
	ours := calls{tool: "list_resources", arguments: "{}", mark: `"many_0"`}
	echo, err := b.floor(ctx, "echo")
	if err != nil {
		return nil, err
	}
	bare, err := launch(ctx, os.Environ(), echo)
	if err != nil {
		return nil, err
	}
	defer bare.end()
	at, err := bufio.NewReader(bare.out).ReadString('\n')
	if err != nil {
		return nil, err
	}
	text, err := sample(ctx, b, p, ours, token)
	if err != nil {
		return nil, err
	}
	floor := calls{tool: "echo", arguments: `{"text":` + quoted(text) + `}`, mark: "many_0"}
	var rows []Row
	for _, d := range []struct {
		name  string
		goal  float64
		floor func() (caller, error)
		ours  func() (caller, error)
	}{
		{"streamable HTTP", 80, func() (caller, error) { return dialHTTP(ctx, "http://"+strings.TrimSpace(at), "", floor) }, func() (caller, error) { return dialHTTP(ctx, "http://"+addr, token, ours) }},
		{"SSE", 80, func() (caller, error) { return dialSSE(ctx, "http://"+strings.TrimSpace(at), "", floor) }, func() (caller, error) { return dialSSE(ctx, "http://"+addr, token, ours) }},
		{"stdio relay", 60, func() (caller, error) { return dialStdio(ctx, os.Environ(), floor, echo, "stdio") }, func() (caller, error) {
			return dialStdio(ctx, p.env("ZAVHOZ_AGENT_TOKEN="+token), ours, b.bin, "mcp")
		}},
	} {
		f, err := d.floor()
		if err != nil {
			return nil, fmt.Errorf("%s, floor: %w", d.name, err)
		}
		o, err := d.ours()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		for _, callers := range []int{1, 32} {
			got, err := turns(b.rounds(9), func() (float64, error) { return rate(callers, f.call) }, func() (float64, error) { return rate(callers, o.call) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			r := Row{What: fmt.Sprintf("list_resources over %s, %d at once, beside a bare mcp-go echo", d.name, callers), Floor: got[0], Ours: got[1], Unit: "/s"}
			rows = append(rows, r.share(d.goal))
		}
		if err := errors.Join(f.close(), o.close()); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// callee is a place whose daemon listens on loopback too, with three resources and an agent that may call as often as it can.
func (b *bench) callee(ctx context.Context) (*place, string, error) {
	p, err := b.place(ctx, "call")
	if err != nil {
		return nil, "", err
	}
	if err := p.serve(ctx, "--listen", "127.0.0.1:0"); err != nil {
		return nil, "", err
	}
	for i := range 3 {
		if _, err := p.zavhoz(ctx, newSecret(), "resource", "add", "generic", manyHandle(i*perHandle), "--secret", "value=-"); err != nil {
			return nil, "", err
		}
	}
	made, err := p.zavhoz(ctx, "", "agent", "add", "bench", "--per-minute", "1000000000", "--json")
	if err != nil {
		return nil, "", err
	}
	var agent struct {
		Token string `json:"token"`
	}
	err = json.Unmarshal([]byte(made), &agent)
	return p, agent.Token, err
}

// address is where the daemon listens for HTTP.
func (p *place) address(ctx context.Context) (string, error) {
	text, err := p.zavhoz(ctx, "", "status", "--json")
	if err != nil {
		return "", err
	}
	var s struct {
		Listen string `json:"listen"`
	}
	err = json.Unmarshal([]byte(text), &s)
	return s.Listen, err
}

// sample is the list as a model sees it: what the floor has to echo.
func sample(ctx context.Context, b *bench, p *place, c calls, token string) (string, error) {
	door, err := dialStdio(ctx, p.env("ZAVHOZ_AGENT_TOKEN="+token), c, b.bin, "mcp")
	if err != nil {
		return "", err
	}
	defer door.close()
	reply, err := door.ask(2)
	if err != nil {
		return "", err
	}
	var r struct {
		Result struct {
			StructuredContent json.RawMessage `json:"structuredContent"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(reply), &r); err != nil {
		return "", err
	}
	return string(r.Result.StructuredContent), nil
}

func quoted(text string) string {
	b, _ := json.Marshal(text) // a string always encodes
	return string(b)
}
