package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan prints the man page, made from the commands themselves: it cannot fall behind them.
func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man", Short: "Print the man page (zavhoz man | man -l -)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			manPage(cmd.OutOrStdout(), root)
			return nil
		},
	}
}

func manPage(w io.Writer, root *cobra.Command) {
	fmt.Fprintln(w, `.TH ZAVHOZ 1`)
	fmt.Fprintf(w, ".SH NAME\nzavhoz \\- %s\n", roff(root.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B zavhoz\n.I command\n[flags]\n.SH DESCRIPTION\n%s\n.SH COMMANDS\n", roff(root.Long))
	manCommands(w, root)
	fmt.Fprint(w, `.SH ENVIRONMENT
.TP
.B ZAVHOZ_HOME
the home folder
.TP
.B ZAVHOZ_AGENT_TOKEN
the token by which "zavhoz mcp" names its agent
.TP
.B GHOST_SERVERS
provider ids or addresses of servers that are never managed, separated by commas
.SH EXIT STATUS
0 done; 1 failed; 2 usage; 3 not found; 4 conflict; 5 denied; 6 locked or not made yet; 7 damaged; 8 unavailable, try again; 9 done in part.
"zavhoz run" gives the command's own, 124 after a timeout, 125 where it never started, 127 where there is no such command.
`)
}

func manCommands(w io.Writer, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" {
			continue
		}
		if sub.HasSubCommands() {
			manCommands(w, sub)
			continue
		}
		fmt.Fprintf(w, ".SS %s\n%s\n", roff(sub.UseLine()), roff(sub.Short))
		if sub.Long != "" {
			fmt.Fprintf(w, ".PP\n%s\n", roff(sub.Long))
		}
		sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				fmt.Fprintf(w, ".TP\n.B \\-\\-%s\n%s\n", roff(f.Name), roff(f.Usage))
			}
		})
		if sub.Example != "" {
			fmt.Fprintf(w, ".PP\n.nf\n%s\n.fi\n", roff(sub.Example))
		}
	}
}

// roff escapes what troff would take for its own.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "-", `\-`)
}
