package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
)

// SitAt puts a connection at a made-up seat: the real ones need terminals, and the command line's tests have them.
func SitAt(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, placeKey{}, place{seat: seat{tty: n, session: n, parent: n, parentStart: uint64(n)}})
}

// Rules of the table of acts.
const (
	Free   = free
	Always = always
	Judged = judged
)

// Row is a row of that table.
type Row struct {
	Rule rule
	Why  string
}

// Table is the table.
func Table() map[string]Row {
	out := map[string]Row{}
	for pattern, a := range acts {
		out[pattern] = Row{a.rule, a.why}
	}
	return out
}

// Served are the routes of a Server.
func Served(s *Server) map[string]bool { return s.served }

// Handle serves one route more.
func Handle(s *Server, pattern string, status int) {
	s.handle(pattern, status, func(*http.Request) (any, error) { return nil, nil })
}

// OverHTTP tells what a token may do by a route.
func OverHTTP(pattern string) (scope vault.Scope, acts, decided bool) {
	o, decided := overHTTP[pattern]
	return o.scope, o.acts, decided
}

// Operation tells what the description has of a route.
func Operation(pattern string) (in, out any, status int, there bool) {
	o, there := operations[pattern]
	return o.in, o.out, o.status, there
}

// BodyOf gives the description's example of a body.
func BodyOf(pattern string) string { return operations[pattern].example }

// ParseForm is parseForm.
func ParseForm(body []byte) (map[string][]byte, error) { return parseForm(body) }
