// Command echo is the floor of an MCP server: mcp-go as its manual has it, with one tool that gives back what it was given.
//
// Promise: nothing else. No guard, no agents, no vault, no audit: what a call of ours costs above this is what those cost.
// It stops no attack; it is never shipped.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const schema = `{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}`

type input struct {
	Text string `json:"text"`
}

func main() {
	s := server.NewMCPServer("bare", "1")
	s.AddTool(mcpgo.NewToolWithRawSchema("echo", "Echoes.", []byte(schema)), func(_ context.Context, r mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
		var in input
		if err := r.BindArguments(&in); err != nil {
			return nil, err
		}
		return mcpgo.NewToolResultStructured(in, in.Text), nil
	})
	if len(os.Args) > 1 && os.Args[1] == "stdio" {
		stdio := server.NewStdioServer(s)
		server.WithWorkerPoolSize(64)(stdio)
		_ = stdio.Listen(context.Background(), os.Stdin, os.Stdout)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	sse := server.NewSSEServer(s)
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(s, server.WithStateful(true)))
	mux.Handle("/", sse)
	_ = http.Serve(l, mux)
}
