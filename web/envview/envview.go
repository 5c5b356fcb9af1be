// Package envview says what the vault found of an environment in the shapes of the API, for both doors that answer with them: the operator's API and the tools.
//
// Promise: both doors tell the same of a resolution, and nothing that it does not hold: names, where each value comes from, what is missing and what a person types to
// give it. It opens nothing.
//
// Attack stopped: a resolution asked for what its values are (threat-model.md 63): of a variable that is sensitive it shows which names it is made of, never what they
// hold, and the text of others alone.
package envview

import (
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/variable"
	"github.com/zavhoz/zavhoz/web/api"
)

// Request gives what the vault is asked. Errors: invalid_argument, with the outcome environment_contract_invalid.
func Request(project string, r api.ResolveEnvironment) (q vault.EnvironmentRequest, err error) {
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

// View shows a resolution, with the values that are no secrets.
func View(e vault.ResolvedEnvironment) api.Environment {
	out := api.Environment{Project: e.Project.Slug, Outcome: string(e.Outcome), Handle: e.Resource.Handle, Approval: e.Resource.Policy.Approval, Variables: make([]api.Variable, 0, len(e.Variables)), Missing: []api.MissingName{}, Generated: e.Generated}
	for _, r := range e.Variables {
		out.Variables = append(out.Variables, variableOf(r))
	}
	for _, r := range e.Missing() {
		out.Missing = append(out.Missing, api.MissingName{Name: r.Name, Description: r.Description, Command: Command(e.Project.Slug, r.Name), Request: Route(e.Project.Slug)})
	}
	if out.Approval == policy.ApprovalFirst {
		out.Allow = "zavhoz resource policy " + out.Handle + " --approval none"
	}
	if out.Generated == nil {
		out.Generated = []string{}
	}
	return out
}

// Command is what a person types to give a project a secret.
func Command(slug, name string) string {
	return "zavhoz project secret set " + slug + " " + name + "=-"
}

// Route is the way for a program that gives a project secrets.
func Route(slug string) string { return "POST /api/v1/projects/" + slug + "/config/secrets" }

func variableOf(r variable.Resolved) api.Variable {
	v := api.Variable{
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
