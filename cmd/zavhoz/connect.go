package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// connection tells how one client is connected: lines to type or a file to write.
type connection struct {
	Client  string `json:"client"`
	Command string `json:"command,omitempty"` // to type
	File    string `json:"file,omitempty"`    // where the text goes
	Text    string `json:"text,omitempty"`
	Deny    string `json:"deny,omitempty"` // the client's own deny rules, a fence before the walls
}

// site is where this program and its home are.
type site struct{ self, home string }

// connections make a connection. One entry a client.
var connections = map[string]func(site) connection{
	"claude-code": func(s site) connection {
		return connection{
			Command: "claude mcp add --transport stdio zavhoz -- " + home.Quote(s.self) + " mcp",
			File:    ".claude/settings.json",
			Deny:    compact(map[string]any{"permissions": map[string]any{"deny": []string{"Bash(zavhoz:*)", "Bash(" + s.self + ":*)", "Read(/" + s.home + "/**)"}}}),
		}
	},
	"codex": func(s site) connection {
		return connection{Command: "codex mcp add zavhoz -- " + home.Quote(s.self) + " mcp"}
	},
	"cursor": func(s site) connection {
		return connection{File: ".cursor/mcp.json", Text: compact(map[string]any{"mcpServers": s.stdio()})}
	},
	"vscode": func(s site) connection {
		return connection{File: ".vscode/mcp.json", Text: compact(map[string]any{"servers": s.stdio()})}
	},
	"langgraph": func(s site) connection {
		return connection{Text: "MultiServerMCPClient(" + compact(map[string]any{"zavhoz": map[string]any{"transport": "stdio", "command": s.self, "args": []string{"mcp"}}}) + ")"}
	},
}

// stdio is the entry that most clients want.
func (s site) stdio() map[string]any {
	return map[string]any{"zavhoz": map[string]any{"type": "stdio", "command": s.self, "args": []string{"mcp"}}}
}

// compact writes JSON on one line; paths may hold what needs escaping.
func compact(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // of texts alone
	return strings.TrimSpace(b.String())
}

func newConnect(a *app) *cobra.Command {
	names := slices.Sorted(maps.Keys(connections))
	return &cobra.Command{
		Use: "connect [CLIENT]", Short: "Print how to connect a client: claude-code, codex, cursor, vscode, langgraph", Args: cobra.MaximumNArgs(1), ValidArgs: names,
		Long:    "Print the line to type or the file to write that connects a client, and for claude-code the deny rules that keep its own shell from this program. It changes nothing. Without a client it lists those it knows.",
		Example: "  zavhoz connect claude-code",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.show(names, func(w io.Writer) {
					fmt.Fprintf(w, "Clients: %s\nNext: zavhoz connect CLIENT. Any other MCP client can start `zavhoz mcp`.\n", strings.Join(names, ", "))
				})
			}
			connect, ok := connections[args[0]]
			if !ok {
				return fault.New(fault.InvalidArgument, "that client is not known", "known are "+strings.Join(names, ", ")+"; any MCP client can start `zavhoz mcp`")
			}
			dir, err := a.dir()
			if err != nil {
				return err
			}
			at := site{self: "zavhoz", home: dir.Path()}
			if self, err := os.Executable(); err == nil {
				at.self = self
			}
			c := connect(at)
			c.Client = args[0]
			return a.show(c, func(w io.Writer) {
				if c.Command != "" {
					fmt.Fprintf(w, "Type:\n  %s\n", c.Command)
				}
				if c.Text != "" && c.File != "" {
					fmt.Fprintf(w, "Put into %s:\n  %s\n", c.File, c.Text)
				} else if c.Text != "" {
					fmt.Fprintf(w, "Use:\n  %s\n", c.Text)
				}
				if c.Deny != "" {
					fmt.Fprintf(w, "And keep its shell from this program, in %s:\n  %s\n", c.File, c.Deny)
					fmt.Fprintln(w, "These rules are a fence, not a wall: a shell of your uid can do what you can. An operator passphrase (zavhoz presence set) hinders it;")
					fmt.Fprintln(w, "a user of zavhoz's own, the level vaulted (docs/install.md), ends it.")
				}
			})
		},
	}
}
