package mcp

// SessionCount tells tests how many sessions over HTTP are kept.
func SessionCount(s *Server) int { return s.sessions.count() }
