package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/zavhoz/zavhoz/vault/kind"
)

// showServices lists the catalogue of api_key.
func (a *app) showServices() error {
	all := kind.Services()
	return a.show(all, func(w io.Writer) {
		var rows [][]string
		for _, s := range all {
			rows = append(rows, []string{s.Name, s.Title, strings.Join(s.Env, " ")})
		}
		table(w, []string{"SERVICE", "TITLE", "ENVIRONMENT"}, rows)
		fmt.Fprintln(w, "\nAny other: --set env=NAME --set hosts=HOST")
	})
}
