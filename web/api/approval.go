package api

import "time"

// Approval is one thing that waits for a person's word. It holds no value, no address and no name of a file that a run wrote.
type Approval struct {
	ID string `json:"id"` // KIND:NAME; of a secret KIND:PROJECT:NAME
	// Kind is secret (a project lacks a value), environment (a changed definition that nobody looked at), host_key (a server's, before its first use), rotation (one that does not get on), changes (what a
	// run wrote beside folders), intake (a request that a person give a secret), file_change and file_loss (of a file of secrets), servers_gone (more than a sync believes at once).
	Kind      string    `json:"kind"`
	Project   string    `json:"project,omitempty"`
	Handle    string    `json:"handle,omitempty"`
	What      string    `json:"what"` // in words
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`    // then it is denied by itself
	Command   string    `json:"command"`           // what a person types
	Request   string    `json:"request,omitempty"` // the route by which a program with the scope write gives what is waited for
	Decisions []string  `json:"decisions"`         // what POST …/approvals/{id} takes from this caller: approve, which asks for presence; deny
}

// Decide says what becomes of what waits.
type Decide struct {
	Decision string `json:"decision"` // approve, deny
	Why      string `json:"why,omitempty"`
}

// Decided tells what was decided.
type Decided struct {
	ID       string `json:"id"`
	Decision string `json:"decision"`
}
