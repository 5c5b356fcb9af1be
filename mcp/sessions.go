package mcp

import (
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// sessions are those that clients of the earlier protocol versions open over HTTP. They hold nothing but which calls are in flight: all state is
// in the store. Each belongs to the agent that opened it; to any other it does not exist (threat-model.md 63). Their number is bounded, and no
// agent can take more than a quarter (defect 10: in mcp-go they never end).
type sessions struct {
	max    int
	shared Replicas // nil: this server is alone
	idle   time.Duration
	clock  func() time.Time
	mu     sync.Mutex
	by     map[string]*session
	swept  time.Time
	buried buried
}

type session struct {
	id      string
	agent   string // agt_…
	flights flights
	ask     askSlot
	can     canAsk    // what its initialize declared
	stream  *peer     // of the SSE door; nil otherwise
	used    time.Time // guarded by sessions.mu
}

func newSessions(l Limits, clock func() time.Time) *sessions {
	return &sessions{max: l.MaxSessions, idle: l.SessionIdle, clock: clock, by: map[string]*session{}}
}

// open makes a session. An agent at its share loses its own oldest idle one (clients often never say goodbye, and open a new one when theirs
// is gone); others' are never touched.
func (s *sessions) open(agent string, can canAsk, stream *peer) (*session, *fault.Error) {
	return s.enlist(s.newID(agent, can, stream), agent, can, stream)
}

func (s *sessions) enlist(id, agent string, can canAsk, stream *peer) (*session, *fault.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.by[id]; x != nil { // two requests of one client at once
		return x, nil
	}
	if s.buried.holds(id) {
		return nil, errNoSession
	}
	now := s.clock()
	s.sweep(now)
	own := 0
	var oldest *session
	for _, x := range s.by {
		if x.agent != agent {
			continue
		}
		own++
		if x.stream == nil && x.flights.count() == 0 && (oldest == nil || x.used.Before(oldest.used)) {
			oldest = x
		}
	}
	if own >= max(1, s.max/4) || len(s.by) >= s.max {
		if oldest == nil {
			return nil, fault.New(fault.Busy, "too many sessions are open", "close some clients, then try again").With("retry_after_s", 60)
		}
		delete(s.by, oldest.id)
	}
	x := &session{id: id, agent: agent, can: can, stream: stream, used: now}
	s.by[x.id] = x
	return x, nil
}

// find gives an agent's own session, and marks it as used; one that another server opened is gone on with here.
func (s *sessions) find(id, agent string) *session {
	if x := s.here(id, agent); x != nil {
		return x
	}
	return s.adopt(id, agent)
}

func (s *sessions) here(id, agent string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.by[id]
	now := s.clock()
	if x == nil || x.agent != agent || s.dead(x, now) {
		return nil
	}
	x.used = now
	return x
}

func (s *sessions) end(x *session) {
	s.mu.Lock()
	delete(s.by, x.id)
	s.mu.Unlock()
	if x.stream != nil {
		x.stream.cancel()
	}
}

func (s *sessions) endStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.by {
		if x.stream != nil {
			x.stream.cancel()
		}
	}
}

func (s *sessions) dead(x *session, now time.Time) bool {
	return x.stream == nil && now.Sub(x.used) > s.idle && x.flights.count() == 0
}

// sweep forgets what idled out, at most once a second: a flood of sessions must not make each of them dear.
func (s *sessions) sweep(now time.Time) {
	if now.Sub(s.swept) < time.Second {
		return
	}
	s.swept = now
	for id, x := range s.by {
		if s.dead(x, now) {
			delete(s.by, id)
		}
	}
}
