package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// connection tells how one client is connected: lines to type or a file to write.
type connection struct {
	Client  string `json:"client"`
	Command string `json:"command,omitempty"` // to type
	File    string `json:"file,omitempty"`    // where the text goes
	Text    string `json:"text,omitempty"`
	Deny    string `json:"deny,omitempty"` // the client's own deny rules, a fence before the walls
}

// connections make a connection from the path of this program. One entry a client.
var connections = map[string]func(self string) connection{
	"claude-code": func(self string) connection {
		return connection{
			Command: "claude mcp add --transport stdio zavhoz -- " + self + " mcp",
			File:    ".claude/settings.json",
			Deny:    `{"permissions":{"deny":["Bash(zavhoz:*)","Bash(` + self + `:*)","Read(~/.local/share/zavhoz/**)"]}}`,
		}
	},
	"codex":  func(self string) connection { return connection{Command: "codex mcp add zavhoz -- " + self + " mcp"} },
	"cursor": func(self string) connection { return connection{File: ".cursor/mcp.json", Text: mcpServers(self)} },
	"vscode": func(self string) connection {
		return connection{File: ".vscode/mcp.json", Text: `{"servers":{"zavhoz":{"type":"stdio","command":"` + self + `","args":["mcp"]}}}`}
	},
	"langgraph": func(self string) connection {
		return connection{Text: `MultiServerMCPClient({"zavhoz": {"transport": "stdio", "command": "` + self + `", "args": ["mcp"]}})`}
	},
}

func mcpServers(self string) string {
	return `{"mcpServers":{"zavhoz":{"command":"` + self + `","args":["mcp"]}}}`
}

func newConnect(a *app) *cobra.Command {
	var names []string
	for name := range connections {
		names = append(names, name)
	}
	return &cobra.Command{
		Use: "connect CLIENT", Short: "Print how to connect a client: claude-code, codex, cursor, vscode, langgraph", Args: cobra.ExactArgs(1), ValidArgs: names,
		Long:    "Print the line to type or the file to write that connects a client, and the deny rules that keep its own shell from this program. It changes nothing.",
		Example: "  zavhoz connect claude-code",
		RunE: func(cmd *cobra.Command, args []string) error {
			make, ok := connections[args[0]]
			if !ok {
				return fault.New(fault.InvalidArgument, "that client is not known", "known are claude-code, codex, cursor, vscode, langgraph; any MCP client can start `zavhoz mcp`")
			}
			self, err := os.Executable()
			if err != nil {
				self = "zavhoz"
			}
			c := make(self)
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
					fmt.Fprintln(w, "These rules are a fence, not a wall: a shell of your uid can do what you can. An operator passphrase (zavhoz presence set) is the wall.")
				}
			})
		},
	}
}
