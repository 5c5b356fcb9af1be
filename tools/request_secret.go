package tools

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

var _ = register(requestSecret)

type requestSecretIn struct {
	Project string `json:"project"`
	Key     string `json:"key"`
	Kind    string `json:"kind"`
	Handle  string `json:"handle"`
	Reason  string `json:"reason"`
	Context string `json:"context"`
}

// requestSecretOut is how a request stands. The link opens nothing without a code, which a person has from a person.
type requestSecretOut struct {
	State     string `json:"state"`      // waiting, given, denied
	RequestID string `json:"request_id"` // itk_…; "" where it is there already
	Link      string `json:"link"`       // "" where no page is served
	Types     string `json:"person_types"`
	ExpiresAt string `json:"expires_at"`
	Gave      string `json:"gave"`
	Why       string `json:"why"`
}

func requestSecret(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "request_secret",
		Title: "Ask a person for a secret",
		Description: "Asks a person to give a secret that is missing: of a project (project, key), or a whole resource (kind, handle). The value never passes through here. " +
			"Show the person what they type (person_types), or the link. Call again with the same arguments to learn how it stands: waiting, given, denied. " +
			`Example: {"project":"weather-bot","key":"OPENAI_API_KEY","reason":"the bot answers questions with it"}`,
		Input: schema(`"project":{"type":"string","maxLength":40,"description":"slug or id; of a resource: default"},`+
			`"key":{"type":"string","maxLength":128,"description":"name of a project's secret"},`+
			`"kind":{"type":"string","maxLength":64,"description":"kind of a resource: api_key, server, database…"},`+
			`"handle":{"type":"string","maxLength":64,"description":"handle that the resource is to have"},`+
			`"reason":{"type":"string","minLength":1,"maxLength":200,"description":"one line for the person: what it is for"},`+
			`"context":{"type":"string","maxLength":128,"description":"your thread or session"}`, "reason"),
		Output: schema(`"state":{"type":"string","enum":["waiting","given","denied"]},"request_id":{"type":"string"},"link":{"type":"string"},"person_types":{"type":"string"},`+
			`"expires_at":{"type":"string"},"gave":{"type":"string"},"why":{"type":"string"}`, "state", "request_id", "link", "person_types", "expires_at", "gave", "why"),
		Annotations: mcp.Annotations{Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[requestSecretIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			q := vault.SecretRequest{Project: in.Project, Key: in.Key, Kind: in.Kind, Handle: in.Handle, Reason: in.Reason}
			i, err := d.Vault.RequestSecret(ctx, actor(c, in.Context), q)
			if err != nil {
				return mcp.Result{}, err
			}
			i.Why = d.Runner.Masked(ctx, i.Why) // a person wrote it, for a model: what of it is a secret stays here
			return requested(d, i, c.Answer), nil
		},
	}
}

func requested(d Deps, i vault.Intake, answer mcp.Answer) mcp.Result {
	out := requestSecretOut{State: string(i.State), RequestID: i.ID, Gave: i.Gave, Why: i.Why}
	switch i.State {
	case vault.IntakeGiven:
		return mcp.Result{Text: out.Gave + " is there: use it.", Structured: out}
	case vault.IntakeDenied:
		return mcp.Result{Text: "A person said no (see why). Do not ask again for the same; go on without it, or ask them what to do.", Structured: out}
	}
	out.Types, out.ExpiresAt = api.IntakeCommand(i.ID), i.ExpiresAt.UTC().Format(time.RFC3339)
	if d.PageURL != nil {
		out.Link = api.IntakeLink(d.PageURL(), i.ID)
	}
	text := "A person has to give it. Show them what to type (person_types)"
	if out.Link != "" {
		text += ", or the link, for which they have a code from `zavhoz intake code`"
	}
	switch answer {
	case mcp.AnswerAccept:
		text = "A person was shown the page, and would open it; they type a code there, from `zavhoz intake code`. Or show them what to type (person_types). Go on with what needs no secret, and call again later"
	case mcp.AnswerDecline, mcp.AnswerCancel:
		text = "A person was shown the page, and did not open it now. Do not press them: it waits, and there is what to type (person_types)"
	}
	res := mcp.Result{Text: text + ". Never ask for the secret or the code here.", Structured: out}
	if i.Fresh && out.Link != "" { // once: a model that asks again and again does not ask the person again and again
		res.Ask = &mcp.Ask{URL: out.Link, Message: pageMessage(i)}
	}
	return res
}

// named shows a name that an agent chose: as a name, so that no client makes a link of it, and no more than fits one.
func named(name string) string {
	const most = 40
	if len(name) > most {
		name = name[:most] + "…"
	}
	return "`" + name + "`"
}

// pageMessage is what a person reads before their client opens the page. It holds names of ours and that of the request, whose letters are bounded, as the agent's; the reason is the agent's own words,
// and stands on the page, behind the code.
func pageMessage(i vault.Intake) string {
	what := named(i.Key) + " of the project " + i.Project
	if i.Key == "" {
		what = "the " + i.Kind + " " + named(i.Handle)
	}
	return "An agent lacks a secret, by a name that it chose: " + what + ". Zavhoz has a page where you give it, past this program. The page asks for a code, which `zavhoz intake code " + i.ID +
		"` makes on your terminal; or give it there: `" + api.IntakeCommand(i.ID) + "`. Type neither secret nor code here."
}
