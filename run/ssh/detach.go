package ssh

import (
	"context"
	"io"

	xssh "golang.org/x/crypto/ssh"
)

// streams are a session's, as those use them who must be able to turn away: what the library has begun ends with the channel only, and a server keeps that
// open for as long as its command ignores every signal.
type streams struct {
	in       io.WriteCloser // closing it tells the command that there is no more
	out, err io.Reader
}

// detachable gives the streams of ch, which end with ctx at the latest. What the library still waits for then is waited for by nobody: it ends with the
// channel or the connection, and holds nothing of a caller's.
func detachable(ctx context.Context, ch xssh.Channel) streams {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(errLeft) })
	go func() {
		_, err := io.Copy(ch, r)
		_ = ch.CloseWrite()
		_ = r.CloseWithError(err) // a server that takes no more
	}()
	return streams{in: w, out: detached(ctx, ch), err: detached(ctx, ch.Stderr())}
}

func detached(ctx context.Context, src io.Reader) io.Reader {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(errLeft) })
	go func() {
		_, err := io.Copy(w, src)
		_ = w.CloseWithError(err)
		_, _ = io.Copy(io.Discard, src) // unread output would block the command
	}()
	return r
}

// request asks the server for something, and does not outwait the session's being left.
func (s *Session) request(name string, payload []byte) (bool, error) {
	type answer struct {
		ok  bool
		err error
	}
	got := make(chan answer, 1)
	go func() { // as in detachable
		ok, err := s.ch.SendRequest(name, true, payload)
		got <- answer{ok, err}
	}()
	select {
	case a := <-got:
		return a.ok, a.err
	case <-s.left.Done():
		return false, errLeft
	}
}

// term sends the command TERM.
func (s *Session) term() {
	_, _ = s.ch.SendRequest("signal", false, xssh.Marshal(struct{ Signal string }{string(xssh.SIGTERM)}))
}

// leave gives up a session that the server does not end. The connection is that of other agents too, whose commands go on: it takes no new session, and is
// closed with the last of theirs, or here if there is none. The command that is left behind has no streams any more, and loses its connection then.
func (s *Session) leave() {
	s.pool.discard(s.target.ID, s.link)
	s.free()
	s.cut()
}

// free gives the place back, once.
func (s *Session) free() { s.freed.Do(func() { s.pool.release(s.link) }) }
