package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
)

var _ = register(listProjectSecrets)

type listProjectSecretsIn struct {
	Project string `json:"project"`
}

// projectSecretOut is what a model may know of a project's secret: that there is one, of what length class and how old.
type projectSecretOut struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Filled bool   `json:"filled"`
	Length string `json:"length"`
	AgeS   int64  `json:"age_s"`
	Hint   string `json:"hint"`
}

type listProjectSecretsOut struct {
	Project string             `json:"project"`
	Secrets []projectSecretOut `json:"secrets"`
	LeftOut int                `json:"left_out"`
}

func listProjectSecrets(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "list_project_secrets",
		Title: "List a project's secrets",
		Description: "Lists the names of a project's secrets: type (user: a person gave it; infra: generated), whether there is a value (filled), its length class, its age in seconds, and a hint. " +
			`Values are never shown. Example: {"project":"weather-bot"}`,
		Input: schema(`"project":{"type":"string","minLength":1,"maxLength":40,"description":"slug or id"}`, "project"),
		Output: schema(`"project":{"type":"string"},"secrets":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"type":{"type":"string"},"filled":{"type":"boolean"},"length":{"type":"string"},"age_s":{"type":"integer"},"hint":{"type":"string"}},`+
			`"required":["name","type","filled","length","age_s","hint"],"additionalProperties":false}},"left_out":{"type":"integer"}`, "project", "secrets", "left_out"),
		Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[listProjectSecretsIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			p, list, err := d.Vault.ProjectSecrets(ctx, actor(c, ""), in.Project)
			if err != nil {
				return mcp.Result{}, err
			}
			return projectSecrets(p, list, d.Clock()), nil
		},
	}
}

func projectSecrets(p vault.Project, list []vault.ProjectSecret, now time.Time) mcp.Result {
	out := listProjectSecretsOut{Project: p.Slug, Secrets: []projectSecretOut{}}
	filled, size := 0, 0
	for _, s := range list {
		o := projectSecretOut{Name: s.Name, Type: string(s.Type), Filled: s.Filled, Length: s.Class, Hint: s.Hint}
		if s.Filled {
			filled++
			o.AgeS = seconds(now.Sub(s.UpdatedAt))
		}
		if size += encodedLen(o); size > pageBytes {
			out.LeftOut++
			continue
		}
		out.Secrets = append(out.Secrets, o)
	}
	return mcp.Result{Text: fmt.Sprintf("%s: %s, %d with a value.", p.Slug, plural(len(list), "name"), filled), Structured: out}
}
