// Package tools is what each MCP tool does, one file a tool: typed input → authorise → domain → typed output.
//
// Promise: no tool takes or gives a secret value, or a hidden one such as an address: the output types have no room for them (wall 1).
// Every refusal is a fault with a stable code and the next step, in words a model can act on; where a person is needed, it is the command they
// would type.
//
// Attacks stopped: a model that asks for a value, by any tool, finds no way to (threat-model.md, wall 1); arguments are decoded strictly and held to the
// schema that the tool shows, so nothing unknown, doubled or oversized passes on (67); no refusal repeats an argument (65).
package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// Vault is what the tools need of the vault (vault.Vault).
type Vault interface {
	Visible(context.Context, vault.Actor, vault.Filter) ([]vault.Resource, string, error)
	Allocate(context.Context, vault.Actor, vault.AllocateRequest) (vault.Allocation, error)
	Release(ctx context.Context, actor vault.Actor, leaseID string) (vault.Lease, error)
	Leases(context.Context, vault.Actor) ([]vault.Lease, error)
	Runs(context.Context, vault.Actor) ([]vault.Run, error)
	Approvals(ctx context.Context, actor vault.Actor, within func(slug string) bool) ([]vault.Approval, error)
	Servers(context.Context, vault.Actor) ([]vault.ServerView, error)
	Note(context.Context, audit.Event) error
	ResolveEnvironment(context.Context, vault.Actor, vault.EnvironmentRequest) (vault.ResolvedEnvironment, error)
	ProjectSecrets(ctx context.Context, actor vault.Actor, ref string) (vault.Project, []vault.ProjectSecret, error)
	RequestSecret(ctx context.Context, actor vault.Actor, q vault.SecretRequest) (vault.Intake, error)
}

// Runner executes (run.Engine).
type Runner interface {
	Run(context.Context, run.Request) (run.Result, error)
	Request(context.Context, run.HTTPRequest) (run.HTTPResult, error)
	Get(ctx context.Context, actor vault.Actor, runID string, offset int64) (run.Result, error)
	Stop(ctx context.Context, actor vault.Actor, runID string) (run.Result, error)
	Masked(ctx context.Context, text string) string
}

// Deps are what the tools work with.
type Deps struct {
	Vault     Vault
	Runner    Runner
	Sync      func(context.Context) (api.SyncInfo, error)
	Isolation func(context.Context) api.Isolation // what runs get here
	Presence  func(context.Context) (bool, error)
	Locked    func() bool             // whether the vault is; nil: it never is
	Files     func() []api.SecretFile // homes of resources; nil: there are none
	PageURL   func() string           // where the pages are; nil or "": none are served
	Clock     func() time.Time        // nil: time.Now
}

// registry is filled by each tool's file.
var registry []func(Deps) mcp.Tool

// register makes a tool known; each file calls it once.
func register(make func(Deps) mcp.Tool) bool {
	registry = append(registry, make)
	return true
}

// All makes every tool, each held to its own input schema.
func All(d Deps) []mcp.Tool {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	out := make([]mcp.Tool, 0, len(registry))
	for _, make := range registry {
		out = append(out, checked(make(d)))
	}
	return out
}

// actor is the caller as the domain knows it. ctx names the client's thread, where the call did.
func actor(c *mcp.Call, thread string) vault.Actor {
	return vault.Actor{Type: audit.Agent, ID: c.Caller.AgentID, Name: c.Caller.Agent, Door: c.Caller.Door, Context: thread}
}

// input decodes the arguments of a call.
func input[T any](c *mcp.Call) (in T, err error) {
	err = mcp.Decode(c.Arguments, &in)
	return in, err
}

// schema joins the parts of a JSON Schema object: properties without braces, and the required names.
func schema(properties string, required ...string) json.RawMessage {
	req, _ := json.Marshal(append([]string{}, required...))
	return json.RawMessage(`{"type":"object","properties":{` + properties + `},"required":` + string(req) + `,"additionalProperties":false}`)
}

// seconds is a duration in whole seconds, up; never negative.
func seconds(d time.Duration) int64 { return max(0, int64((d+time.Second-1)/time.Second)) }

// plural is "1 resource", "2 resources".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
