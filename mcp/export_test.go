package mcp

// SessionCount tells tests how many sessions over HTTP are kept.
func SessionCount(s *Server) int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.by)
}

// NewSessionID names a session that a server might have opened for an agent.
func NewSessionID(s *Server, agent string) string { return s.sessions.newID(agent, canAsk{}, nil) }

// BuriedCount tells tests how many ended sessions are remembered.
func BuriedCount(s *Server) (inMap, inRing int) {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.buried.is), len(s.sessions.buried.ring)
}
