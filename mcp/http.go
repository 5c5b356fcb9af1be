package mcp

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

const (
	headerVersion = "Mcp-Protocol-Version"
	headerSession = "Mcp-Session-Id"
)

// HTTPHandler serves /mcp (streamable HTTP), /sse and /message (HTTP+SSE), each behind the guard.
//
// The transports are our own, over mcp-go's HandleMessage. Its transports would need a guard for each of ten defects; here the
// session belongs to an agent, calls in flight are known by session, and progress cannot be overtaken by its result.
func (s *Server) HTTPHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mcp", s.guard("POST, DELETE", s.streamable))
	mux.Handle("/sse", s.guard("GET", s.sse))
	mux.Handle("/message", s.guard("POST", s.message))
	return mux
}

// CloseSessions ends what would keep an http.Server's Shutdown waiting: streams, and questions to persons, of which there are no more.
func (s *Server) CloseSessions() {
	s.closing.Do(func() { close(s.ended) })
	s.sessions.endStreams()
}

func (s *Server) streamable(w http.ResponseWriter, r *http.Request, ag Agent) {
	version := r.Header.Get(headerVersion)
	if r.Method == http.MethodDelete {
		s.deleteSession(w, r, ag, version)
		return
	}
	raw, ok := s.body(w, r)
	if !ok {
		return
	}
	m, bad := wire.Parse(raw)
	switch {
	case bad != nil && wire.Responds(raw):
		s.denyMessage(w, r, raw, http.StatusBadRequest, errResponse)
		return
	case bad != nil:
		s.writeJSON(w, http.StatusBadRequest, nil, wire.RPCError(m.ID, bad.Code, bad.Text, nil))
		return
	}
	x := &exchange{srv: s, w: w, r: r, agent: ag, msg: m, raw: raw}
	if m.Modern() || wire.Modern(version) {
		x.modern(version)
	} else {
		x.legacy(version)
	}
}

// body reads the whole body, within the size and time that are allowed.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(s.limits.HelloTimeout))
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, int64(s.limits.MessageBytes)))
	if err == nil {
		_ = rc.SetReadDeadline(time.Time{})
	} else {
		w.Header().Set("Connection", "close") // or net/http waits for the rest of the body
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		s.denyMessage(w, r, buf.Bytes(), http.StatusRequestEntityTooLarge, fault.New(fault.TooLarge, "the message is too long", "send less"))
	case err != nil:
		s.denyStatus(w, r, http.StatusRequestTimeout, fault.New(fault.TimedOut, "the body did not arrive", ""))
	}
	return buf.Bytes(), err == nil
}

func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request, ag Agent, version string) {
	if wire.Modern(version) {
		w.Header().Set("Allow", "POST")
		s.denyStatus(w, r, http.StatusMethodNotAllowed, fault.New(fault.NotSupported, "this protocol version has no sessions", ""))
		return
	}
	sid := r.Header.Get(headerSession)
	ses := s.sessions.find(sid, ag.ID)
	here := ses != nil && ses.stream == nil
	if s.sessions.shared != nil && (here || s.sessions.wasOpened(sid, ag.ID)) { // first: one that not all were told of can be deleted again, also where it has ended already
		if f := s.spread(r.Context(), Handed{Agent: ag, Session: sid, End: true}); f != nil {
			s.deny(w, r, f)
			return
		}
		_ = s.sessions.bury(sid, ag.ID)
	}
	if !here {
		s.denyStatus(w, r, http.StatusNotFound, errNoSession)
		return
	}
	s.sessions.end(ses)
	w.WriteHeader(http.StatusOK)
}

var errNoSession = fault.New(fault.InvalidArgument, "there is no such session", "send initialize again")

// exchange is one POST to /mcp.
type exchange struct {
	srv   *Server
	w     http.ResponseWriter
	r     *http.Request
	agent Agent
	msg   wire.Message
	raw   []byte

	opened  *session // by this initialize
	session *session // of a call of the era with sessions
}

// modern serves protocol version 2026-07-28 and later: no sessions; what a message says of itself, its headers say too.
func (x *exchange) modern(version string) {
	m := &x.msg
	if m.Request() {
		code := 0
		switch {
		case version == "":
			code = wire.CodeHeaders
		case m.Version == "":
			code = wire.CodeInvalidParams
		case m.Version != version, x.srv.core.speaks(version) && !x.srv.core.headersAgree(x.r.Header.Get, version, m):
			code = wire.CodeHeaders
		}
		if code != 0 {
			x.reply(http.StatusBadRequest, wire.RPCError(m.ID, code, safeText(code), nil))
			return
		}
	}
	if !m.Request() {
		// Cancelling is closing the connection in this era. A notifications/cancelled names a call by its id alone, and ids are not the
		// sender's own (defect 3): it is dropped.
		x.w.WriteHeader(http.StatusAccepted)
		return
	}
	x.call(&flights{}, "req_"+x.w.Header().Get("X-Request-Id"))
}

// legacy serves the versions with an initialize handshake. The session is the agent's own or does not exist.
func (x *exchange) legacy(version string) {
	m := &x.msg
	if version != "" && !x.srv.core.speaks(version) {
		x.reply(http.StatusBadRequest, wire.RPCError(m.ID, wire.CodeInvalidRequest, safeText(wire.CodeVersion), nil))
		return
	}
	if m.Method == "initialize" && m.Request() {
		x.initialize()
		return
	}
	sid := x.r.Header.Get(headerSession)
	ses := x.srv.sessions.find(sid, x.agent.ID)
	switch {
	case sid == "":
		x.reply(http.StatusBadRequest, wire.Fault(m.ID, errNoSession))
	case ses == nil || ses.stream != nil:
		x.reply(http.StatusNotFound, wire.Fault(m.ID, errNoSession))
	case m.Cancel():
		x.cancel(ses)
	case m.Response():
		x.answer(ses)
	case !m.Request():
		x.w.WriteHeader(http.StatusAccepted)
	default:
		x.session = ses
		x.call(&ses.flights, ses.id)
	}
}

func (x *exchange) initialize() {
	ses, e := x.srv.sessions.open(x.agent.ID, canAskOf(&x.msg), nil)
	if e != nil {
		x.refuse(e)
		return
	}
	x.w.Header().Set(headerSession, ses.id)
	x.opened = ses
	x.call(&ses.flights, ses.id)
}

// call serves a request and writes its reply: as JSON, or as the end of an event stream that progress has begun.
func (x *exchange) call(fl *flights, name string) {
	s := x.srv
	leave, e := s.agents.enter(x.agent)
	if e != nil {
		x.refuse(e)
		return
	}
	defer leave()
	ev := &events{w: x.w, timeout: s.limits.WriteTimeout}
	rq := &request{srv: s, msg: x.msg, caller: Caller{AgentID: x.agent.ID, Agent: x.agent.Name, Attended: x.agent.Attended, Door: DoorHTTP, Session: name}}
	if strings.Contains(x.r.Header.Get("Accept"), "text/event-stream") {
		rq.notify = ev.send
		if ses := x.session; ses != nil {
			rq.asking = asking{can: ses.can, slot: &ses.ask, send: ev.send, id: func() string { return s.sessions.askID(ses) }}
		}
	}
	f := fl.start(x.r.Context(), x.msg.ID)
	reply, code := s.serve(f.ctx, rq, x.raw)
	fl.end(x.msg.ID, f)
	if code != 0 {
		x.undo()
	}
	if ev.begun {
		ev.send(reply)
		return
	}
	x.reply(httpStatus(x.msg.Modern(), code), reply)
}

// undo takes back the session of an initialize that failed, before its client can know of it.
func (x *exchange) undo() {
	x.w.Header().Del(headerSession)
	if x.opened != nil {
		x.srv.sessions.end(x.opened)
	}
}

func (x *exchange) refuse(e *fault.Error) {
	x.undo()
	x.srv.writeJSON(x.w, e.Code.Of().HTTP, e, wire.Refuse(&x.msg, e))
}

func (x *exchange) reply(status int, raw []byte) {
	if x.msg.Response() { // no response is answered by a message
		raw = nil
	}
	x.srv.writeJSON(x.w, status, nil, raw)
}

// httpStatus: since 2026-07-28 an error's code shows in the status, so that what lies between can see it.
func httpStatus(modern bool, code int) int {
	switch {
	case !modern || code == 0:
		return http.StatusOK
	case code == wire.CodeNoMethod:
		return http.StatusNotFound
	case code == wire.CodeInternal || code == wire.CodeServer:
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// events writes server-sent events. Its first one turns the reply into a stream.
type events struct {
	w       http.ResponseWriter
	timeout time.Duration
	mu      sync.Mutex
	begun   bool
}

func (e *events) begin() {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	e.w.WriteHeader(http.StatusOK)
	e.begun = true
}

func (e *events) send(line []byte) { _ = e.event("message", line) }

func (e *events) event(kind string, data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.begun {
		e.begin()
	}
	rc := http.NewResponseController(e.w)
	_ = rc.SetWriteDeadline(time.Now().Add(e.timeout))
	buf := make([]byte, 0, len(data)+32)
	buf = append(append(append(buf, "event: "...), kind...), "\ndata: "...)
	buf = append(append(buf, data...), "\n\n"...)
	if _, err := e.w.Write(buf); err != nil {
		return err
	}
	return e.flush(rc)
}

// flush sends what was written, and ends its deadline: over HTTP/2 one that passes while nothing is written ends the request as well.
func (e *events) flush(rc *http.ResponseController) error {
	err := rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
	return err
}
