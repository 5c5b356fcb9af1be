package postgrestest

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// NewDurable is New for a server that waits for its disk, as one in use does: for what is measured.
func NewDurable() (*Server, error) { return begin(true) }

// Kill ends the server as a crash does, its children with it, and keeps its data.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		t.Fatal("postgrestest: no server is running")
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Restart starts the server again, with its data and at its port: after Stop or Kill. Children of a server that was killed may hold on for a moment.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := s.run(filepath.Join(s.dir, "data"))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("postgrestest: restart: %v\n%s", err, s.log.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// AdminExec runs a statement as the superuser, in a database.
func (s *Server) AdminExec(t testing.TB, database, sql string, args ...any) {
	t.Helper()
	c, err := s.connect(Admin, s.AdminPassword, database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// Data is the folder of the server's data.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

// Bin is the path of a program of the server's version: pg_dump, say.
func (s *Server) Bin(name string) string { return filepath.Join(s.bin, name) }

// TryAs runs a statement as another user, and gives what came of it.
func (s *Server) TryAs(t testing.TB, user, password, sql string) error {
	t.Helper()
	c, err := s.connect(user, password, Database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	_, err = c.Exec(context.Background(), sql)
	return err
}
