//go:build !unix

package postgrestest

import (
	"os/exec"
	"path/filepath"
)

// command starts a program of PostgreSQL.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.Stdout, c.Stderr = &s.log, &s.log
	return c
}

func (s *Server) own() error { return nil }
