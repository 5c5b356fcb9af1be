package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/kind"
)

// kindOut is a kind as `resource kinds` tells it.
type kindOut struct {
	Name    string     `json:"name"`
	Summary string     `json:"summary"`
	Fields  []fieldOut `json:"fields"`
}

type fieldOut struct {
	Name     string `json:"name"`
	Class    string `json:"class"`
	Required bool   `json:"required"`
	Help     string `json:"help"`
}

func newKinds(a *app) *cobra.Command {
	var services bool
	c := &cobra.Command{
		Use: "kinds", Short: "List the kinds of resource, their fields, and with --services the known services", Args: cobra.NoArgs,
		Example: "  zavhoz resource kinds\n  zavhoz resource kinds --services",
		RunE: func(*cobra.Command, []string) error {
			if services {
				return a.showServices()
			}
			var out []kindOut
			for _, k := range kind.All() {
				ko := kindOut{Name: k.Name, Summary: k.Summary}
				for _, f := range k.Fields {
					ko.Fields = append(ko.Fields, fieldOut{f.Name, string(f.Class), f.Required, f.Help})
				}
				out = append(out, ko)
			}
			return a.show(out, func(w io.Writer) {
				for _, k := range out {
					fmt.Fprintf(w, "%s: %s\n", k.Name, k.Summary)
					for _, f := range k.Fields {
						need := ""
						if f.Required {
							need = ", required"
						}
						fmt.Fprintf(w, "    %-22s %s%s: %s\n", f.Name, f.Class, need, f.Help)
					}
				}
			})
		},
	}
	c.Flags().BoolVar(&services, "services", false, "list the services that api_key knows")
	return c
}
