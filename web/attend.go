package web

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// attendProtocol is what the connection of an attended run becomes.
const attendProtocol = "zavhoz-run/1"

// maxFolders is how many folders one run may be shown.
const maxFolders = 64

// attendRun lets a person attend a confined run of their own. No true value leaves by it; all the same it asks for presence, for it acts as the operator: an agent's
// shell under the same uid could otherwise use every resource (no grant, no lease, no approval is asked of an operator), reach any host through a tunnel of its
// choice, and have folders opened for writing (threat-model.md 70).
func (s *Server) attendRun(w http.ResponseWriter, r *http.Request) {
	in, err := s.readAttend(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	upgraded := false
	err = s.o.Runs.Attend(r.Context(), operator(r), in, func() (net.Conn, error) {
		c, err := upgrade(w)
		upgraded = err == nil
		return c, err
	})
	if err != nil && !upgraded { // afterwards the connection tells it
		s.fail(w, r, err)
	}
}

func (s *Server) readAttend(r *http.Request) (in api.AttendRun, err error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), attendProtocol) || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		return in, fault.New(fault.InvalidArgument, "an attended run takes over its connection", "send Connection: Upgrade and Upgrade: "+attendProtocol)
	}
	if err := read(r, &in); err != nil {
		return in, err
	}
	if err := s.present(r, audit.RunStart); err != nil {
		return in, err
	}
	return in, s.checkFolders(in)
}

// checkFolders holds a run's folders to the rule of working directories: what may never be opened is not opened for one run either.
func (s *Server) checkFolders(in api.AttendRun) error {
	if len(in.Folders) > maxFolders {
		return fault.Newf(fault.InvalidArgument, "a run sees at most %d folders", maxFolders)
	}
	for _, f := range in.Folders {
		if err := vault.CheckWorkdirPath(f.Path); err != nil {
			return err
		}
		if s.o.Folder == nil {
			return fault.New(fault.NotSupported, "this daemon opens no folders to runs", "")
		}
		if err := s.o.Folder(f.Path, f.Force); err != nil {
			return fault.Of(err).With("folder", f.Path)
		}
	}
	return nil
}

// upgrade takes the connection over, with whatever of it was read ahead.
func upgrade(w http.ResponseWriter) (net.Conn, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	if _, err := c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + attendProtocol + "\r\n\r\n")); err != nil {
		c.Close()
		return nil, err
	}
	return ahead{c, buffered.Reader}, nil
}

// ahead is a connection of which some bytes were read before it was taken over.
type ahead struct {
	net.Conn
	r *bufio.Reader
}

// Read gives what was read ahead first.
func (a ahead) Read(p []byte) (int, error) { return a.r.Read(p) }
