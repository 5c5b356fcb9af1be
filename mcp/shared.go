package mcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Replicas is what several servers behind one address share, so that a client may come to another with each request. A session holds nothing but the calls in flight, so its id
// alone makes it: the id says which server opened it, when, and what its client can put to its person, under a mark that only the vault's keys make, bound to the agent. An event stream is one server's: what comes for it elsewhere is handed over.
type Replicas interface {
	// Self is this server's id.
	Self() string
	// Mark authenticates a text.
	Mark(text string) [32]byte
	// Others gives the ids of the other servers that live.
	Others(ctx context.Context) ([]string, error)
	// Hand has another server Take a message. Errors: fault daemon_unavailable, which wraps ErrSilent where it is that server alone that is not reached; invalid_argument where it has nothing that the message is for.
	Hand(ctx context.Context, to string, m Handed) error
}

// ErrSilent says of an error of Replicas.Hand that the other server did not answer: it is gone, or busy, and what carries messages is not.
var ErrSilent = errors.New("mcp: the other server does not answer")

// Handed is a message for another server: for its event stream, or an answer or a cancel for a call of the session that it serves, or the word that the session has ended. The agent has shown its token to the server that hands it over, and the session is its own.
type Handed struct {
	Agent   Agent  `json:"agent"`
	Session string `json:"session"`
	Message []byte `json:"message"`
	End     bool   `json:"end,omitempty"` // the session has ended; there is no message
}

// sessionLife is how long a session that another server opened is taken over. Whoever uses one for longer than that opens a new one.
const sessionLife = 24 * time.Hour

// maxHanded is the longest message that is handed over, in bytes: what carries it holds 1 MiB.
const maxHanded = 700 << 10

// The kinds of session, as ids name them.
const (
	ofHTTP = "h" // and what its client can put to its person: canAsk.kind
	ofSSE  = "s"
)

// newID names a session. Alone it is random; among others it is random.kind.time.server.mark.
func (s *sessions) newID(agent string, can canAsk, stream *peer) string {
	if s.shared == nil {
		return rand.Text()
	}
	kind := can.kind()
	if stream != nil {
		kind = ofSSE
	}
	id := strings.Join([]string{rand.Text(), kind, strconv.FormatInt(s.clock().Unix(), 36), s.shared.Self()}, ".")
	return id + "." + s.mark(id, agent)
}

func (s *sessions) mark(id, agent string) string {
	sum := s.shared.Mark(id + "\x00" + agent)
	return hex.EncodeToString(sum[:16])
}

// foreign takes an id apart that another server made for this agent, and that can still be gone on with.
func (s *sessions) foreign(id, agent string) (kind, server string, ok bool) {
	kind, server, opened, ok := s.marked(id, agent)
	now := s.clock()
	if !ok || now.Sub(opened) > sessionLife || opened.Sub(now) > time.Hour {
		return "", "", false
	}
	return kind, server, true
}

// marked takes an id apart that a server made for this agent at any time.
func (s *sessions) marked(id, agent string) (kind, server string, opened time.Time, ok bool) {
	if s.shared == nil || len(id) > 200 {
		return "", "", opened, false
	}
	parts := strings.Split(id, ".")
	if len(parts) != 5 {
		return "", "", opened, false
	}
	want := s.mark(strings.Join(parts[:4], "."), agent)
	if subtle.ConstantTimeCompare([]byte(want), []byte(parts[4])) != 1 {
		return "", "", opened, false
	}
	at, err := strconv.ParseInt(parts[2], 36, 64)
	return parts[1], parts[3], time.Unix(at, 0), err == nil
}

// wasOpened says whether an id is of a session over streamable HTTP that was this agent's, at whichever server and however long ago.
func (s *sessions) wasOpened(id, agent string) bool {
	kind, _, _, ok := s.marked(id, agent)
	_, streamable := canAskOfKind(kind)
	return ok && streamable
}

// adopt goes on with a session that another server opened over streamable HTTP.
func (s *sessions) adopt(id, agent string) *session {
	kind, server, ok := s.foreign(id, agent)
	can, streamable := canAskOfKind(kind)
	if !ok || !streamable || server == s.shared.Self() { // its own that is gone has ended
		return nil
	}
	x, f := s.enlist(id, agent, can, nil)
	if f != nil {
		return nil
	}
	return x
}

// handOver gives a message to the server whose event stream it is for. One that asks goes once: nobody knows whether one whose acknowledgement is lost was taken.
// So does a cancel, of which it is no error that its server does not answer: the call has ended with it.
func (s *Server) handOver(ctx context.Context, id string, ag Agent, raw []byte, asks, cancels bool) *fault.Error {
	if len(raw) > maxHanded {
		return fault.New(fault.TooLarge, "the message is too long to be handed to the daemon that has the event stream", "send less, or use streamable HTTP: /mcp")
	}
	_, server, ok := s.sessions.foreign(id, ag.ID)
	if !ok || server == s.sessions.shared.Self() {
		return errNoSession
	}
	hand := func(ctx context.Context) error {
		return s.sessions.shared.Hand(ctx, server, Handed{Agent: ag, Session: id, Message: raw})
	}
	var err error
	switch {
	case asks:
		err = hand(ctx)
	case cancels:
		err = within(ctx, wordTime, hand)
	default:
		err = s.again(ctx, hand)
	}
	if err == nil || cancels && errors.Is(err, ErrSilent) {
		return nil
	}
	return fault.Of(err)
}

// Take takes a message that came for one of this server's event streams at another, or the answer to what one of its calls over streamable HTTP asks, or the word that one is given up, or that a session has ended. Another session's call,
// the same agent's too, is out of reach: each has its own question and its own table of calls (threat-model.md 64).
func (s *Server) Take(m Handed) error {
	if m.End {
		return s.sessions.bury(m.Session, m.Agent.ID)
	}
	ses := s.sessions.here(m.Session, m.Agent.ID)
	if ses == nil {
		return errNoSession
	}
	if ses.stream == nil {
		msg, bad := wire.Parse(m.Message)
		if bad == nil && (msg.Response() && ses.ask.take(&msg) || msg.Cancel() && ses.flights.stop(msg.Cancels)) {
			return nil
		}
		return errNoSession
	}
	if len(ses.stream.out) == cap(ses.stream.out) { // nobody reads them: who waited for that would hold up others
		return fault.New(fault.Busy, "replies pile up unread", "read the event stream")
	}
	ses.stream.accept(m.Agent, bytes.Clone(m.Message))
	return nil
}
