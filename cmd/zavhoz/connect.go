package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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

	Shell     string   `json:"shell"`              // what of the client runs programs
	SharedUID bool     `json:"shared_uid"`         // it has the daemon's uid
	Loses     []string `json:"loses,omitempty"`    // what that costs, worst first
	Keeps     string   `json:"keeps,omitempty"`    // what it does not reach
	Remedies  []string `json:"remedies,omitempty"` // the strongest first
}

// site is where this program and its home are, and how its door is started.
type site struct {
	self, home string
	args       []string // "mcp", and what says which daemon where that is not the one it finds by itself
}

// line is the door's command for a shell.
func (s site) line() string {
	words := []string{home.Quote(s.self)}
	for _, arg := range s.args {
		words = append(words, home.Quote(arg))
	}
	return strings.Join(words, " ")
}

// connections make a connection. One entry a client.
var connections = map[string]func(site) connection{
	"claude-code": func(s site) connection {
		return connection{
			Shell:   "Claude Code's shell (its tool Bash, and what that starts)",
			Command: "claude mcp add --transport stdio zavhoz -- " + s.line(),
			File:    ".claude/settings.json",
			Deny:    compact(map[string]any{"permissions": map[string]any{"deny": []string{"Bash(zavhoz:*)", "Bash(" + s.self + ":*)", "Read(/" + s.home + "/**)"}}}),
		}
	},
	"codex": func(s site) connection {
		return connection{Shell: "Codex's shell, where its own sandbox lets it", Command: "codex mcp add zavhoz -- " + s.line()}
	},
	"cursor": func(s site) connection {
		return connection{Shell: "Cursor's terminal, which its agent uses", File: ".cursor/mcp.json", Text: compact(map[string]any{"mcpServers": s.stdio()})}
	},
	"vscode": func(s site) connection {
		return connection{Shell: "VS Code's terminal, which its agent uses", File: ".vscode/mcp.json", Text: compact(map[string]any{"servers": s.stdio()})}
	},
	"langgraph": func(s site) connection {
		return connection{Shell: "your program, and every tool in it that runs code or commands", Text: "MultiServerMCPClient(" + compact(map[string]any{"zavhoz": map[string]any{"transport": "stdio", "command": s.self, "args": s.args}}) + ")"}
	},
}

// stdio is the entry that most clients want.
func (s site) stdio() map[string]any {
	return map[string]any{"zavhoz": map[string]any{"type": "stdio", "command": s.self, "args": s.args}}
}

// tell puts in what is true of the client's own shell.
func (c *connection) tell(n neighbours) {
	c.SharedUID, c.Loses, c.Keeps, c.Remedies = !n.apart, n.loses(), n.keeps(), n.remedies()
}

func (c *connection) printTruth(w io.Writer) {
	if !c.SharedUID {
		fmt.Fprintf(w, "\nNot of the daemon's uid: %s; %s.\n", c.Shell, c.Keeps)
		return
	}
	fmt.Fprintf(w, "\nWith your uid, which is the daemon's and the operator's: %s.\n", c.Shell)
	for _, s := range c.Loses {
		fmt.Fprintf(w, "  - %s\n", s)
	}
	if c.Keeps != "" {
		fmt.Fprintf(w, "  + %s\n", c.Keeps)
	}
	fmt.Fprintln(w, "What helps:")
	for _, s := range c.Remedies {
		fmt.Fprintf(w, "  - %s\n", s)
	}
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
	var socket string
	c := &cobra.Command{
		Use: "connect [CLIENT]", Short: "Print how to connect a client: claude-code, codex, cursor, vscode, langgraph", Args: cobra.MaximumNArgs(1), ValidArgs: names,
		Long: "Print the line to type or the file to write that connects a client, and for claude-code the deny rules that keep its own shell from this program. It changes nothing. Without a client it lists those it knows.\n\n" +
			"A home folder that is not the default one ($ZAVHOZ_HOME, --home) is part of what is printed: a client may start the door without your shell's variables. With --socket the door " +
			"is one to a service of the system, and the client needs the agent's token in its environment.",
		Example: "  zavhoz connect claude-code\n  zavhoz connect codex --socket /run/zavhoz/agent.sock",
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
			at, err := a.site(socket)
			if err != nil {
				return err
			}
			c := connect(at)
			c.Client = args[0]
			c.tell(a.neighbours(cmd.Context(), socket))
			return a.show(c, func(w io.Writer) {
				if c.Command != "" {
					fmt.Fprintf(w, "Type:\n  %s\n", c.Command)
				}
				if c.Text != "" && c.File != "" {
					fmt.Fprintf(w, "Put into %s:\n  %s\n", c.File, c.Text)
				} else if c.Text != "" {
					fmt.Fprintf(w, "Use:\n  %s\n", c.Text)
				}
				if socket != "" {
					fmt.Fprintln(w, "The daemon there demands the agent's token: the client's environment must hold it as ZAVHOZ_AGENT_TOKEN when it starts.")
				}
				if c.Deny != "" {
					fmt.Fprintf(w, "And keep its shell from this program, in %s:\n  %s\n", c.File, c.Deny)
					fmt.Fprintln(w, "These rules are a fence, not a wall.")
				}
				c.printTruth(w)
			})
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "the agents' socket of a service of the system: agent_socket of its config.yaml")
	return c
}

// site finds what a door must be told: a socket that was named, else a home that it would not find without this shell's variables and flags.
func (a *app) site(socket string) (site, error) {
	dir, err := a.dir()
	if err != nil {
		return site{}, err
	}
	at := site{self: "zavhoz", home: dir.Path(), args: []string{"mcp"}}
	if self, err := os.Executable(); err == nil {
		at.self = self
	}
	if socket != "" {
		abs, err := filepath.Abs(socket)
		if err != nil || !pasted(abs) {
			return site{}, errUnpasted
		}
		at.args = append(at.args, "--socket", abs)
		return at, nil
	}
	usual, err := home.Locate(func(name string) string {
		if name == home.EnvHome {
			return ""
		}
		return os.Getenv(name)
	})
	if err != nil || usual.Path() != dir.Path() {
		if !pasted(dir.Path()) {
			return site{}, errUnpasted
		}
		at.args = append(at.args, "--home", dir.Path())
	}
	return at, nil
}

var errUnpasted = fault.New(fault.InvalidArgument, "the path holds characters that no line can carry", "choose a path without them")

// pasted tells whether a path comes out of a terminal and a shell as it went in. Blanks of other scripts do: people have them in the names of their folders.
func pasted(path string) bool {
	turns := func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) }
	return !strings.ContainsFunc(path, turns) && utf8.ValidString(path)
}
