package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/zavhoz/zavhoz/vault/kind"
)

// serviceOut is a service as `resource kinds --services` tells it.
type serviceOut struct {
	Name  string   `json:"name"`
	Title string   `json:"title"`
	Env   []string `json:"env"`
	Hosts []string `json:"hosts"`
}

// showServices lists the catalogue of api_key.
func (a *app) showServices() error {
	out := []serviceOut{}
	for _, s := range kind.Services() {
		out = append(out, serviceOut{s.Name, s.Title, s.Env, s.Hosts})
	}
	return a.show(out, func(w io.Writer) {
		var rows [][]string
		for _, s := range out {
			rows = append(rows, []string{s.Name, s.Title, dash(strings.Join(s.Env, " "))})
		}
		table(w, []string{"SERVICE", "TITLE", "ENVIRONMENT"}, rows)
		fmt.Fprintln(w, "\nAny other: zavhoz resource add api_key HANDLE --set env=NAME --set hosts=HOST --secret key=-")
	})
}
