package tools

import (
	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
)

// askedFor is the result beside a refusal: where the call has just made a request for approval, and a person attends the agent, their client tells them of it, once. What they do there
// approves nothing: the client is the model's side (threat-model.md 70). It ends their wait: the call is tried again, and finds their word, which came by the operator's door, or does not.
func askedFor(c *mcp.Call, err error) mcp.Result {
	ref := vault.JustAsked(err)
	if ref == "" || !c.Caller.Attended {
		return mcp.Result{}
	}
	return mcp.Result{Ask: &mcp.Ask{Message: approvalMessage(ref)}}
}

func approvalMessage(ref string) string {
	return "A call of this agent waits for your word as " + ref + ". On a terminal of your own `zavhoz approve " + ref + "` shows it and asks, `zavhoz deny " + ref +
		"` refuses it. Nothing that you do here approves it: accept when you have decided there, and the call is tried again."
}
