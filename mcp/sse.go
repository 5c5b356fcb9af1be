package mcp

import (
	"net/http"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// keepAlive is how often an idle stream says that it lives, for what lies between would close it.
const keepAlive = 25 * time.Second

// sse opens the stream of the transport of 2024-11-05. Messages come to /message and are answered here. Both need the same agent's token: the
// session id in the address is a name, not a key.
func (s *Server) sse(w http.ResponseWriter, r *http.Request, ag Agent) {
	p := s.newPeer(r.Context(), Caller{AgentID: ag.ID, Agent: ag.Name, Attended: ag.Attended, Door: DoorSSE})
	defer p.close()
	ses, e := s.sessions.open(ag.ID, canAsk{}, p) // its stream's peer knows what its client can
	if e != nil {
		s.writeJSON(w, e.Code.Of().HTTP, e, wire.Fault(nil, e))
		return
	}
	defer s.sessions.end(ses)
	p.caller.Session = ses.id
	ev := &events{w: w, timeout: s.limits.WriteTimeout}
	if ev.event("endpoint", []byte("/message?sessionId="+ses.id)) != nil {
		return
	}
	p.stream(ev)
}

// stream is the one writer of an event stream.
func (p *peer) stream(ev *events) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		var err error
		select {
		case line := <-p.out:
			err = ev.event("message", line)
		case <-tick.C:
			err = ev.comment()
		case <-p.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (e *events) comment() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	rc := http.NewResponseController(e.w)
	_ = rc.SetWriteDeadline(time.Now().Add(e.timeout))
	if _, err := e.w.Write([]byte(": keep-alive\n\n")); err != nil {
		return err
	}
	return e.flush(rc)
}

// message takes one message of an SSE session.
func (s *Server) message(w http.ResponseWriter, r *http.Request, ag Agent) {
	raw, ok := s.streamed(w, r)
	if !ok {
		return
	}
	id := r.URL.Query().Get("sessionId")
	ses := s.sessions.here(id, ag.ID)
	if ses == nil || ses.stream == nil {
		s.messageAway(w, r, ag, id, raw)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	if rc := http.NewResponseController(w); rc.Flush() == nil {
		ses.stream.accept(ag, raw)
	}
}

// streamed reads a message for an event stream. A response that cannot be read is refused here, where its sender sees it.
func (s *Server) streamed(w http.ResponseWriter, r *http.Request) (raw []byte, ok bool) {
	if raw, ok = s.body(w, r); !ok || !wire.Responds(raw) {
		return raw, ok
	}
	if _, bad := wire.Parse(raw); bad != nil {
		s.denyMessage(w, r, raw, http.StatusBadRequest, errResponse)
		return nil, false
	}
	return raw, true
}

// messageAway takes one message for an event stream that is not here.
func (s *Server) messageAway(w http.ResponseWriter, r *http.Request, ag Agent, id string, raw []byte) {
	if kind, _, ok := s.sessions.foreign(id, ag.ID); !ok || kind != ofSSE {
		s.denyMessage(w, r, raw, http.StatusNotFound, errNoSession)
		return
	}
	m, bad := wire.Parse(raw)
	var leave func()
	var f *fault.Error
	ctx, asks := r.Context(), bad != nil || m.Request() // what cannot be read is answered, too
	if asks {
		leave, f = s.agents.enter(ag)
	} else { // counted here: where it goes, requests alone are
		ctx, leave, f = s.outward(ctx, ag, handWhole)
	}
	if f != nil {
		s.denyMessage(w, r, raw, f.Code.Of().HTTP, f)
		return
	}
	defer leave()
	switch f := s.handOver(ctx, id, ag, raw, asks, m.Cancel()); {
	case f == nil:
		w.WriteHeader(http.StatusAccepted)
	case f.Code == errNoSession.Code:
		s.denyMessage(w, r, raw, http.StatusNotFound, errNoSession)
	default:
		s.denyMessage(w, r, raw, f.Code.Of().HTTP, f)
	}
}
