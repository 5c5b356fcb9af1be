package mcp

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Another handler may stand behind the same HTTP door (the operator's API): it shares the door's guard, its crowd of connections and its count of calls, so that
// there is no second, wider way in.

// Admit checks how a request came: no clear text off loopback, a Host that is ours, an Origin that is ours.
func (s *Server) Admit(r *http.Request) *fault.Error { return s.http.admit(r) }

// Seat makes the request's connection that of who showed a token: it is no stranger's any more.
func (s *Server) Seat(r *http.Request, who string) *fault.Error { return s.seat(r, Agent{ID: who}) }

// Enter counts a call against its owner's limits. Call leave once for each success.
func (s *Server) Enter(ag Agent) (leave func(), f *fault.Error) { return s.agents.enter(ag) }

// JSONBody tells whether a request's body says that it is JSON, which a page of another origin cannot say unasked.
func JSONBody(r *http.Request) bool { return jsonBody(r) }
