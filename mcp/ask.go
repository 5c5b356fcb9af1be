package mcp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// Ask is put to the person who sits at the client, where the client says that it can do so (elicitation). It tells, and decides nothing: the client is the model's side, and
// so is the answer (wall 4). There is no form with a field: what a person types into one, the client reads.
type Ask struct {
	Message string // our own words, names of ours within; never an agent's, who would speak to the person as us
	URL     string // of a page of ours, that the client offers to open; "": it is a notice
}

// Answer is what a person did with an Ask, as their client says.
type Answer string

// The answers. Names are the specification's.
const (
	AnswerAccept  Answer = "accept"  // they saw a notice, or would open the page: not that they did anything there
	AnswerDecline Answer = "decline" // they would not
	AnswerCancel  Answer = "cancel"  // they closed it
)

// askKey names our one question in a modern reply. It is the same for everybody: nothing hangs on who answers it.
const askKey = "person"

// canAsk is what a client says that it can put to its person.
type canAsk struct{ form, url bool }

// The versions of the specification that brought the two.
const (
	formsSince = "2025-06-18"
	pagesSince = "2025-11-25"
)

// canAskOf reads what an initialize, or a modern message, declares.
func canAskOf(m *wire.Message) canAsk {
	form, url := wire.Elicits(m.Caps)
	if m.Modern() {
		return canAsk{form, url}
	}
	return canAsk{form && m.Offered >= formsSince, url && m.Offered >= pagesSince}
}

func (c canAsk) does(a *Ask) bool { return a.URL == "" && c.form || a.URL != "" && c.url }

// asking is how a request's door reaches the person during a call, in the era in which a server asks of itself. The zero value reaches nobody.
type asking struct {
	can  canAsk
	slot *askSlot
	send func(line []byte)
	id   func() string // names a question, so that nobody guesses it
}

// mayAsk tells whether something is to be put to the person before this call's result goes out. A call that carries answers, whichever, is never asked again.
func (rq *request) mayAsk(a *Ask) bool {
	if a == nil || !rq.msg.Plain {
		return false
	}
	if rq.msg.Modern() {
		return canAskOf(&rq.msg).does(a)
	}
	return rq.asking.send != nil && rq.asking.can.does(a)
}

// answered is the answer that a modern call brings along.
func (rq *request) answered() Answer { return Answer(wire.ActionOf(rq.msg.Answers, askKey)) }

// put asks the person and waits for what they do; "" where they did nothing in time, their client cannot, the call was cancelled, the server ends, they were asked enough, or another
// question of this client is open: one at a time, whatever a model calls. The client is told when nobody waits any more.
func (rq *request) put(ctx context.Context, a *Ask) Answer {
	k := rq.asking
	id := k.id()
	answer, ok := k.slot.open(id)
	if !ok {
		return ""
	}
	if !rq.srv.agents.asks(rq.caller.AgentID) {
		k.slot.close()
		return ""
	}
	k.send(encode(askMessage{JSONRPC: "2.0", ID: id, Method: elicit, Params: a.params(id)}))
	timer := time.NewTimer(rq.srv.limits.AskTimeout)
	defer timer.Stop()
	got := Answer("")
	withdrawn := true
	select {
	case got = <-answer:
		withdrawn = false
	case <-timer.C:
	case <-ctx.Done():
	case <-rq.srv.ended:
	}
	k.slot.close()
	if withdrawn { // not before there is room for the next
		k.send(wire.Cancelled(encode(id), ""))
	}
	return got
}

const elicit = "elicitation/create"

type askMessage struct {
	JSONRPC string    `json:"jsonrpc"`
	ID      string    `json:"id"`
	Method  string    `json:"method"`
	Params  askParams `json:"params"`
}

// askParams are those of elicitation/create. A notice is the form without fields; its mode is left out, for clients of the first version do not know the word.
type askParams struct {
	Mode    string          `json:"mode,omitempty"`
	Message string          `json:"message"`
	URL     string          `json:"url,omitempty"`
	ID      string          `json:"elicitationId,omitempty"`
	Schema  json.RawMessage `json:"requestedSchema,omitempty"`
}

func (a *Ask) params(id string) askParams {
	if a.URL != "" {
		return askParams{Mode: "url", Message: a.Message, URL: a.URL, ID: id}
	}
	return askParams{Message: a.Message, Schema: json.RawMessage(`{"type":"object","properties":{}}`)}
}

// inputRequired is the result by which a modern call asks: the client puts it to the person and makes the same call again. It carries no state: the second call is
// authorised and looked up as the first was, at whichever server it comes to, and there is nothing to forge.
func (a *Ask) inputRequired(id string) []byte {
	return encode(map[string]any{askKey: map[string]any{"method": elicit, "params": a.params(id)}})
}

// encode writes strings and constants: it cannot fail.
func encode(v any) []byte {
	raw, _ := json.Marshal(v)
	return raw
}
