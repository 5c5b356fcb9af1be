package main

import (
	"context"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/mcp/relay"
)

func newMCP(a *app) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use: "mcp", Short: "The stdio door: what an MCP client starts", Args: cobra.NoArgs,
		Long: `Speak MCP on standard input and output, and relay it to the daemon; where none runs, one is started in the background. The door names its agent
by $ZAVHOZ_AGENT_TOKEN, else it is "local". Closing it ends nothing but the door.

With --socket the daemon is another user's: a service of the system, which is never started from here and demands a token.`,
		Example: "  claude mcp add zavhoz -- zavhoz mcp\n  codex mcp add zavhoz -- zavhoz mcp\n  zavhoz mcp --socket /run/zavhoz/agent.sock",
		RunE: func(cmd *cobra.Command, _ []string) error {
			token := os.Getenv("ZAVHOZ_AGENT_TOKEN")
			forget(func(name string) bool { return name != "ZAVHOZ_AGENT_TOKEN" })
			dial := func(ctx context.Context) (net.Conn, error) { return dialService(ctx, socket) }
			if socket == "" {
				dir, err := a.dir()
				if err != nil {
					return err
				}
				dial = dialer{dir: dir, sock: dir.AgentSock()}.dial
			}
			err := relay.Run(cmd.Context(), relay.Options{In: a.stdin, Out: a.stdout, Token: token, Dial: dial})
			if cmd.Context().Err() != nil {
				return nil // told to end: that is how a client closes a door
			}
			return err
		},
	}
	c.Flags().StringVar(&socket, "socket", "", "the agents' socket of a service of the system: agent_socket of its config.yaml")
	return c
}
