package ssh

import (
	"context"
	"io"
	"sync/atomic"

	xssh "golang.org/x/crypto/ssh"
)

// Subsystem starts a subsystem of the server ("sftp") on the session and gives its streams. Closing them ends the session; so does the end of ctx. Errors:
// connection_failed, of the class command where the server has no such subsystem.
func (s *Session) Subsystem(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	stop := context.AfterFunc(ctx, s.Close)
	ok, err := s.request("subsystem", xssh.Marshal(struct{ Name string }{name}))
	if err != nil || !ok {
		stop()
		s.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		class := NoCommand
		if err != nil {
			class = Broken
		}
		return nil, failed(s.target, class, err)
	}
	go drain(nil, s.err, new(atomic.Bool)) // ends with the session, as the next
	go xssh.DiscardRequests(s.reqs)
	return &subsystem{s, stop}, nil
}

type subsystem struct {
	s    *Session
	stop func() bool
}

// Read reads what the server says.
func (b *subsystem) Read(p []byte) (int, error) { return b.s.out.Read(p) }

// Write sends.
func (b *subsystem) Write(p []byte) (int, error) { return b.s.in.Write(p) }

// Close ends the session.
func (b *subsystem) Close() error {
	b.stop()
	b.s.Close()
	return nil
}
