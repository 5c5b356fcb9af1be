package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: "  zavhoz version",
		RunE: func(*cobra.Command, []string) error {
			return a.show(map[string]string{"version": version()}, func(w io.Writer) { fmt.Fprintln(w, "zavhoz version "+version()) })
		},
	}
}
