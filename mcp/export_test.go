package mcp

// SessionCount tells tests how many sessions over HTTP are kept.
func SessionCount(s *Server) int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.by)
}
