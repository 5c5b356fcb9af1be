package api

import (
	"strings"
	"time"
)

// Intake is a request that a person give a secret. It holds no value, and no code.
type Intake struct {
	ID        string    `json:"id"` // itk_…
	Project   string    `json:"project"`
	Key       string    `json:"key,omitempty"`    // of a project's secret
	Kind      string    `json:"kind,omitempty"`   // of a resource
	Handle    string    `json:"handle,omitempty"` // that was asked for
	Reason    string    `json:"reason"`
	By        string    `json:"by"`    // who asks
	State     string    `json:"state"` // waiting, given, denied, expired
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	EndedBy   string    `json:"ended_by,omitempty"`
	Why       string    `json:"why,omitempty"`
	Gave      string    `json:"gave,omitempty"` // the handle that came of it, or the name of the secret
	Link      string    `json:"link,omitempty"` // of the page, which asks for the code; "" where none is served
	Command   string    `json:"command"`        // what a person types instead
}

// NewIntake asks for a project's secret (project and key), or for a resource (kind and handle).
type NewIntake struct {
	Project string `json:"project,omitempty"`
	Key     string `json:"key,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Handle  string `json:"handle,omitempty"`
	Reason  string `json:"reason"`
}

// GiveIntake answers a request: of a project's secret the value, of a resource its fields.
type GiveIntake struct {
	Value   Value             `json:"value,omitzero"`
	Handle  string            `json:"handle,omitempty"` // another than was asked for
	Attrs   map[string]string `json:"attrs,omitempty"`
	Secrets map[string]Value  `json:"secrets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Why     string            `json:"why,omitempty"`
}

// DenyIntake says no to a request; who asked reads why.
type DenyIntake struct {
	Why string `json:"why,omitempty"`
}

// IntakeCode is the code that opens a request's page, told once.
type IntakeCode struct {
	ID        string    `json:"id"`
	Code      string    `json:"code"`
	Link      string    `json:"link,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// IntakeCommand is what a person types to answer a request; "" where there is none to answer: what was asked for is there.
func IntakeCommand(ref string) string {
	if ref == "" {
		return ""
	}
	return "zavhoz intake give " + ref
}

// IntakeLink is where a request's page is, below where pages are served; "" where none are.
func IntakeLink(base, ref string) string {
	if base == "" || ref == "" {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/intake/" + ref
}
