package api

import (
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// ResolveEnvironment asks what a project's environment is. Give contracts or names.
type ResolveEnvironment struct {
	Contracts   []ContractFile    `json:"contracts,omitempty"`
	Names       []string          `json:"names,omitempty"`
	Environment string            `json:"environment,omitempty"` // of the contracts; "": production
	Values      map[string]string `json:"values,omitempty"`      // literals that hold in the place of the contract's; nothing secret
	DryRun      bool              `json:"dry_run,omitempty"`     // tell only: nothing is generated and nothing is kept
}

// ContractFile is one env.contract.yaml.
type ContractFile struct {
	Path string `json:"path,omitempty"`
	Text string `json:"text"`
}

// Request gives what the vault is asked. Errors: invalid_argument, with the outcome environment_contract_invalid.
func (r ResolveEnvironment) Request(project string) (q vault.EnvironmentRequest, err error) {
	q = vault.EnvironmentRequest{Project: project, Names: r.Names, Environment: r.Environment, Supplied: r.Values, DryRun: r.DryRun}
	if len(r.Contracts) > 0 {
		files := make([]contract.File, len(r.Contracts))
		for i, f := range r.Contracts {
			files[i] = contract.File{Path: f.Path, Text: []byte(f.Text)}
		}
		q.Contract, err = contract.Read(files)
	}
	return q, err
}

// Environment is what a resolution came to. It holds no secret.
type Environment struct {
	Project   string        `json:"project"`
	Outcome   string        `json:"outcome"`          // resolved, waiting_for_user_secret, allocation_missing, environment_resolution_failed
	Handle    string        `json:"handle,omitempty"` // for runs; "" where nothing was kept
	Variables []Variable    `json:"variables"`        // by name
	Missing   []MissingName `json:"missing"`          // what a person has to give
	Generated []string      `json:"generated"`        // what was made and kept just now
}

// Variable is one of them.
type Variable struct {
	Name        string `json:"name"`
	Class       string `json:"class"`            // infra, computed, user, literal
	Source      string `json:"source,omitempty"` // the contract's
	State       string `json:"state"`            // stored, generate, computed, literal, supplied, missing, absent, failed
	Rule        string `json:"rule"`             // what decided
	Why         string `json:"why"`
	Problem     string `json:"problem,omitempty"` // of a failed one
	Cause       string `json:"cause,omitempty"`   // the name that the problem speaks of
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Sensitive   bool   `json:"sensitive"`
	Hidden      bool   `json:"hidden,omitempty"` // not of the environment: others are made of it
	Value       string `json:"value,omitempty"`  // of one that holds nothing secret
	MadeOf      string `json:"made_of,omitempty"`
}

// MissingName is a secret that a person has to give.
type MissingName struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Command     string `json:"command"` // what they type
}

// EnvironmentView shows a resolution, with the values that are no secrets.
func EnvironmentView(e vault.ResolvedEnvironment) Environment {
	out := Environment{Project: e.Project.Slug, Outcome: string(e.Outcome), Handle: e.Resource.Handle, Variables: make([]Variable, 0, len(e.Variables)), Missing: []MissingName{}, Generated: e.Generated}
	for _, r := range e.Variables {
		out.Variables = append(out.Variables, variableView(r))
	}
	for _, r := range e.Missing() {
		out.Missing = append(out.Missing, MissingName{Name: r.Name, Description: r.Description, Command: "zavhoz project secret set " + e.Project.Slug + " " + r.Name + "=-"})
	}
	if out.Generated == nil {
		out.Generated = []string{}
	}
	return out
}

func variableView(r variable.Resolved) Variable {
	v := Variable{
		Name: r.Name, Class: string(r.Class), Source: string(r.Source), State: string(r.State), Rule: r.Rule, Why: r.Why, Problem: string(r.Problem), Cause: r.Cause,
		Description: r.Description, Required: r.Required, Sensitive: r.Sensitive, Hidden: r.Hidden,
	}
	if !r.Sensitive && r.Ready() {
		v.Value = r.Value()
	}
	if r.State == variable.Made && r.Sensitive {
		v.MadeOf = madeOf(r)
	}
	return v
}

// madeOf writes how a value is put together: text, and names in braces.
func madeOf(r variable.Resolved) string {
	s := ""
	for _, p := range r.Parts {
		switch {
		case p.Secret == "":
			s += p.Text
		case p.As == "":
			s += "{" + p.Secret + "}"
		default:
			s += "{" + p.Secret + ":" + p.As + "}"
		}
	}
	return s
}
