package mcp

// ViaLibrary makes every call go through mcp-go.
func ViaLibrary(s *Server) { s.core.(*core).viaLibrary = true }
