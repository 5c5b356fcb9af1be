package mcp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// askSlot is the one question of a connection or session that its person has not answered. Another's answer does not come here: it belongs to another session, and so does
// whoever guesses (threat-model.md 63, 64).
type askSlot struct {
	mu     sync.Mutex
	id     string // "" while nothing is asked
	answer chan Answer
}

// open takes the slot for a question; ok is false while another is open.
func (s *askSlot) open(id string) (answer <-chan Answer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		return nil, false
	}
	s.id, s.answer = id, make(chan Answer, 1)
	return s.answer, true
}

func (s *askSlot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.answer = "", nil
}

// take delivers the answer that a message is: the first to the question that is open. It is false where the message answers nothing that is asked here.
func (s *askSlot) take(m *wire.Message) bool {
	id := wire.Text(m.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == "" || subtle.ConstantTimeCompare([]byte(s.id), id) != 1 {
		return false
	}
	s.id = ""
	s.answer <- Answer(wire.Action(m.Result))
	return true
}

// newAskID names a question of a connection, or of a server that is alone.
func newAskID() string { return "ask_" + rand.Text() }

// askID names a question of a session over streamable HTTP. Among several servers the name says which one waits, under a mark for this session alone: the answer is a request of its
// own, and comes to any of them.
func (s *sessions) askID(x *session) string {
	if s.shared == nil {
		return newAskID()
	}
	id := newAskID() + "." + s.shared.Self()
	return id + "." + s.mark(id, x.id)
}

// asker tells which server waits for the answer to a question of this session; ok is false for an id that none made.
func (s *sessions) asker(id string, x *session) (server string, ok bool) {
	if s.shared == nil || len(id) > 128 {
		return "", false
	}
	parts := strings.Split(id, ".")
	if len(parts) != 3 {
		return "", false
	}
	want := s.mark(parts[0]+"."+parts[1], x.id)
	return parts[1], subtle.ConstantTimeCompare([]byte(want), []byte(parts[2])) == 1
}

// answer takes what a client posts in answer to a question: here, or for the server that asked. Of what it holds only the person's action goes on. One that answers nothing
// is nobody's business, and its sender learns nothing of it.
func (x *exchange) answer(ses *session) {
	if !ses.ask.take(&x.msg) {
		id := string(wire.Text(x.msg.ID))
		if server, ok := x.srv.sessions.asker(id, ses); ok && server != x.srv.sessions.shared.Self() {
			if f := x.answerAway(ses, server); f != nil {
				x.srv.denyMessage(x.w, x.r, x.raw, f.Code.Of().HTTP, f)
				return
			}
		}
	}
	x.w.WriteHeader(http.StatusAccepted)
}

func (x *exchange) answerAway(ses *session, server string) *fault.Error {
	s := x.srv
	ctx, leave, f := s.outward(x.r.Context(), x.agent, handWhole)
	if f != nil {
		return f
	}
	defer leave()
	short := encode(map[string]any{"jsonrpc": "2.0", "id": string(wire.Text(x.msg.ID)), "result": map[string]string{"action": wire.Action(x.msg.Result)}})
	m := Handed{Agent: x.agent, Session: ses.id, Message: short}
	// Twice to the same question is once: askSlot.take.
	err := s.again(ctx, func(ctx context.Context) error { return s.sessions.shared.Hand(ctx, server, m) })
	if err != nil && fault.CodeOf(err) != errNoSession.Code { // that one: nobody waits for it any more
		s.log.Warn("an answer was not handed over", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		return notReached("the daemon that waits for this answer was not reached", err)
	}
	return nil
}

// kinds of a session over streamable HTTP say what its client can put to its person: another server that goes on with it has not seen its initialize.
func (c canAsk) kind() string {
	kind := ofHTTP
	if c.form {
		kind += "f"
	}
	if c.url {
		kind += "u"
	}
	return kind
}

func canAskOfKind(kind string) (c canAsk, ok bool) {
	rest, ok := strings.CutPrefix(kind, ofHTTP)
	return canAsk{strings.Contains(rest, "f"), strings.Contains(rest, "u")}, ok
}
