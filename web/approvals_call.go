package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/web/api"
)

// ofCall is the kind of an agent's call that a person approves (apr_…).
const ofCall = "call"

// Calls is what the API needs of the vault for agents' calls that wait for a person (vault.Vault).
type Calls interface {
	Approvals(ctx context.Context, actor vault.Actor, within func(slug string) bool) ([]vault.Approval, error)
	Approval(ctx context.Context, ref string, within func(slug string) bool) (vault.Approval, error)
	Decide(ctx context.Context, actor vault.Actor, ref string, d vault.Decision) (vault.Approval, error)
}

// withinOf tells what projects the caller of a request reaches.
func withinOf(r *http.Request) func(slug string) bool {
	c := callerOf(r)
	return func(slug string) bool { return c == nil || c.within(slug) }
}

// waitingCalls are those that a person has not decided on.
func (s *Server) waitingCalls(r *http.Request) (out []api.Approval, err error) {
	all, err := s.o.Vault.Approvals(r.Context(), operator(r), withinOf(r))
	for _, a := range all {
		if a.State == vault.ApprovalWaiting {
			out = append(out, calling(a))
		}
	}
	return out, err
}

// showApproval gives one thing that waits, and of agents' calls those too that are decided.
func (s *Server) showApproval(r *http.Request) (any, error) {
	x, err := s.approval(r, r.PathValue("approval"))
	if err != nil {
		return nil, err
	}
	x.Decisions = decisions(x, callerOf(r) != nil)
	return x, nil
}

// approval finds one thing by its name; unknown_approval.
func (s *Server) approval(r *http.Request, name string) (api.Approval, error) {
	if id.Is(name, id.Approval) {
		a, err := s.o.Vault.Approval(r.Context(), name, withinOf(r))
		return calling(a), err
	}
	all, err := s.approvals(r)
	if err != nil {
		return api.Approval{}, err
	}
	i := slices.IndexFunc(all, func(a api.Approval) bool { return a.ID == name })
	if i < 0 {
		return api.Approval{}, fault.New(fault.UnknownApproval, "nothing of that name waits for a person", "`zavhoz approvals`, or GET /api/v1/approvals, lists what does")
	}
	return all[i], nil
}

// calling is a request as a person judges it: what is shown of the call was made harmless when it was asked.
func calling(a vault.Approval) api.Approval {
	c := a.Call
	call := &api.AskedCall{
		Agent: a.Actor.Name, State: string(a.State), Sort: c.Sort, Argv: c.Argv, Pin: c.Pin, Cwd: c.Cwd, Folders: c.Folders, Env: c.Env, Stdin: textOf(c.Stdin), Method: c.Method, URL: c.URL,
		Headers: c.Headers, Body: textOf(c.Body), Capture: c.Capture, TimeoutS: c.TimeoutS, Background: c.Background, Purpose: c.Purpose, Context: c.Context, Isolation: a.Isolation,
		Resources: make([]api.AskedResource, len(a.Uses)), DecidedAt: a.DecidedAt, DecidedBy: a.DecidedBy, Why: a.Why, Run: a.Run,
	}
	for i, u := range a.Uses {
		call.Resources[i] = api.AskedResource{Handle: u.Handle, Kind: u.Kind, Project: u.Project, Version: u.Version, Delivery: u.Delivery, Asks: u.Asks, Lease: u.Lease}
	}
	return api.Approval{ID: a.ID, Kind: ofCall, What: a.Actor.Name + " calls " + inOneLine(call), Since: a.CreatedAt, Until: a.ExpiresAt, Command: "zavhoz approve " + a.ID, Call: call}
}

func textOf(t *vault.ApprovalText) *api.AskedText {
	if t == nil {
		return nil
	}
	return &api.AskedText{Bytes: t.Bytes, SHA256: t.SHA256, Text: t.Text}
}

// inOneLine is a call in short: who decides by it alone decides about what they have not seen, so it says where it ends early.
func inOneLine(c *api.AskedCall) string {
	const most = 120
	words := c.Argv
	if c.Sort == "request" {
		words = []string{c.Method, c.URL}
	}
	text := strings.Join(words, " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + " … (more: zavhoz approvals show)"
	}
	return text
}
