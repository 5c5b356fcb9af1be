package tools

import (
	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
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

// closed refuses a call whose person closed the notice that it waits for them: they may have approved it before, and thought better of it. It takes nothing back and denies
// nothing.
func closed(c *mcp.Call) error {
	if c.Answer != mcp.AnswerDecline && c.Answer != mcp.AnswerCancel {
		return nil
	}
	return fault.New(fault.ApprovalRequired, "a person closed the notice that this call waits for their word; nothing was done", "ask them; the same call again tells how it stands")
}

func approvalMessage(ref string) string {
	return "A call of this agent waits for your word as " + ref + ". On a terminal of your own `zavhoz approve " + ref + "` shows it and asks, `zavhoz deny " + ref +
		"` refuses it. Nothing that you do here approves it: accept when you have decided there, and the call is tried again."
}
