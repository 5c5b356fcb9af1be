package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/mcp/relay"
)

func newMCP(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "mcp", Short: "The stdio door: what an MCP client starts", Args: cobra.NoArgs,
		Long: `Speak MCP on standard input and output, and relay it to the daemon; where none runs, one is started in the background. The door names its agent
by $ZAVHOZ_AGENT_TOKEN, else it is "local". Closing it ends nothing but the door.`,
		Example: "  claude mcp add zavhoz -- zavhoz mcp\n  codex mcp add zavhoz -- zavhoz mcp",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			token := os.Getenv("ZAVHOZ_AGENT_TOKEN")
			d := dialer{dir: dir, sock: dir.AgentSock()}
			err = relay.Run(cmd.Context(), relay.Options{In: a.stdin, Out: a.stdout, Token: token, Dial: d.dial})
			if cmd.Context().Err() != nil {
				return nil // told to end: that is how a client closes a door
			}
			return err
		},
	}
}
