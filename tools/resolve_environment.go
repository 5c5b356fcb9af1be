package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/variable"
	"github.com/zavhoz/zavhoz/web/api"
	"github.com/zavhoz/zavhoz/web/envview"
)

var _ = register(resolveEnvironment)

type resolveIn struct {
	Project     string             `json:"project"`
	Contracts   []api.ContractFile `json:"contracts"`
	Names       []string           `json:"names"`
	Environment string             `json:"environment"`
	Values      map[string]string  `json:"values"`
	DryRun      bool               `json:"dry_run"`
}

// variableOut is a variable as a model sees it: no value, not even of what is no secret. A command that needs one finds it in its environment.
type variableOut struct {
	Name    string `json:"name"`
	Class   string `json:"class"`
	State   string `json:"state"`
	Rule    string `json:"rule"`
	Problem string `json:"problem"`
	Cause   string `json:"cause"`
}

type missingOut struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	PersonTypes string `json:"person_types"`
}

type resolveOut struct {
	Project   string        `json:"project"`
	Outcome   string        `json:"outcome"`
	Handle    string        `json:"handle"`
	Variables []variableOut `json:"variables"`
	LeftOut   int           `json:"variables_left_out"`
	Missing   []missingOut  `json:"missing"`
	Generated []string      `json:"generated"`
	Types     string        `json:"person_types"` // before the handle may be used; ""
}

func resolveEnvironment(d Deps) mcp.Tool {
	text := func(n int) string { return fmt.Sprintf(`{"type":"string","maxLength":%d}`, n) }
	return mcp.Tool{
		Name:  "resolve_environment",
		Title: "Resolve a project's environment",
		Description: "Says of every variable that a project's programs need what it is (infra: the project's own, generated once and kept; computed; user: a person gives it; literal), whether it is " +
			"there, and what is missing. Give the text of each env.contract.yaml, or only the names of the variables. You get a handle for run_with_resource, and no value. Where a person must give " +
			"a secret, show them the command (person_types); never ask for the secret here. " +
			`Example: {"project":"weather-bot","names":["TELEGRAM_BOT_TOKEN","DATABASE_URL"]}`,
		Input: schema(`"project":{"type":"string","minLength":1,"maxLength":40,"description":"slug or id"},`+
			`"contracts":{"type":"array","minItems":1,"maxItems":64,"items":{"type":"object","properties":{"path":`+text(200)+`,"text":`+text(contract.MaxFragment)+`},"required":["text"],"additionalProperties":false},`+
			`"description":"every env.contract.yaml of the project; give either contracts or names"},`+
			`"names":{"type":"array","minItems":1,"maxItems":256,"items":`+text(128)+`,"description":"names of variables, for a project without contracts"},`+
			`"environment":{"type":"string","maxLength":64,"description":"which of the contracts' environments; default production"},`+
			`"values":{"type":"object","maxProperties":64,"additionalProperties":`+text(contract.MaxValue)+`,"description":"values for literals of the contracts, in the place of theirs; nothing secret"},`+
			`"dry_run":{"type":"boolean","description":"tell only: generate and keep nothing"}`, "project"),
		Output: schema(`"project":{"type":"string"},"outcome":{"type":"string","enum":["resolved","waiting_for_user_secret","allocation_missing","environment_resolution_failed"]},"handle":{"type":"string"},`+
			`"variables":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"class":{"type":"string"},"state":{"type":"string"},"rule":{"type":"string"},"problem":{"type":"string"},"cause":{"type":"string"}},`+
			`"required":["name","class","state","rule","problem","cause"],"additionalProperties":false}},"variables_left_out":{"type":"integer"},`+
			`"missing":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"description":{"type":"string"},"person_types":{"type":"string"}},"required":["name","description","person_types"],"additionalProperties":false}},`+
			`"generated":{"type":"array","items":{"type":"string"}},"person_types":{"type":"string"}`,
			"project", "outcome", "handle", "variables", "variables_left_out", "missing", "generated", "person_types"),
		Annotations: mcp.Annotations{Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[resolveIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			asked := api.ResolveEnvironment{Contracts: in.Contracts, Names: in.Names, Environment: in.Environment, Values: in.Values, DryRun: in.DryRun}
			q, err := envview.Request(in.Project, asked)
			if err != nil {
				return mcp.Result{}, err
			}
			e, err := d.Vault.ResolveEnvironment(ctx, actor(c, ""), q)
			if err != nil {
				return mcp.Result{}, err
			}
			return resolved(e), nil
		},
	}
}

func resolved(e vault.ResolvedEnvironment) mcp.Result {
	view := envview.View(e)
	out := resolveOut{Project: view.Project, Outcome: view.Outcome, Handle: view.Handle, Variables: []variableOut{}, Missing: []missingOut{}, Generated: view.Generated}
	size := encodedLen(out)
	for _, m := range view.Missing {
		o := missingOut{m.Name, m.Description, m.Command}
		if size += encodedLen(o); size > pageBytes/2 { // the rest comes when these are given
			continue
		}
		out.Missing = append(out.Missing, o)
	}
	size = encodedLen(out)
	slices.SortStableFunc(view.Variables, func(a, b api.Variable) int { return cmp.Compare(b.Problem, a.Problem) }) // what cannot be resolved is told first
	for _, v := range view.Variables {
		if v.Hidden {
			continue
		}
		o := variableOut{v.Name, v.Class, v.State, v.Rule, v.Problem, v.Cause}
		if size += encodedLen(o); size > pageBytes { // what a person has to give is told apart
			out.LeftOut++
			continue
		}
		out.Variables = append(out.Variables, o)
	}
	if out.Types = view.Allow; out.Types != "" && view.Outcome == string(variable.Complete) {
		return mcp.Result{Text: out.Handle + " is complete, and a person looks at it before you run with it. Show them what to type (person_types).", Structured: out}
	}
	return mcp.Result{Text: resolvedText(out), Structured: out}
}

func resolvedText(out resolveOut) string {
	switch variable.Outcome(out.Outcome) {
	case variable.Complete:
		if out.Handle == "" {
			return "Everything is there. Call again without dry_run to get a handle."
		}
		return out.Handle + " is complete: use it in run_with_resource."
	case variable.Waiting:
		var names []string
		for _, m := range out.Missing {
			names = append(names, m.Name)
		}
		return "A person has to give " + plural(len(names), "secret") + ": " + strings.Join(names, ", ") + ". Show them what to type (missing[].person_types), then call again."
	case variable.Unplaced:
		return "A port or a resource is not allocated yet (see problem and cause): call allocate_resource, then call again."
	}
	return "Some variables cannot be resolved (see problem and cause): correct the contract, or the project."
}
