package ssh

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// run does what the session is for, and tells the client how it ended. One goroutine reads the client's input until the client has gone, as what it still
// sends must not pile up: two would hear of the end only once.
func (b *bridge) run(a ask, err error) {
	defer contain(b.c.hangUp)
	exit, err := b.guarded(a, err)
	b.finish(exit, err)
	if b.unkept.Load() {
		b.c.b.halt()
	}
	if !b.reading {
		b.resume()
		_, _ = io.Copy(io.Discard, b.ch)
	}
}

// guarded keeps one session's defect from ending the daemon; the text of a panic could hold anything.
func (b *bridge) guarded(a ask, err error) (exit Exit, _ error) {
	defer func() {
		if recover() != nil {
			exit, err = Exit{Code: 255}, fault.New(fault.Internal, b.o.Handle+": the session failed inside zavhoz", "")
		}
	}()
	exit, err = b.decide(a, err)
	return exit, err
}

// decide asks the policy, connects, and records on both sides of what is carried.
func (b *bridge) decide(a ask, err error) (Exit, error) {
	if err == nil {
		a, err = b.o.allow(a, b.term != nil)
	}
	if err != nil {
		return b.refused(a, string(a.kind), err)
	}
	s, err := b.o.Connect(b.ctx)
	if err != nil {
		return b.refused(a, "connection", err)
	}
	defer s.Close()
	e := Event{Handle: b.o.Handle, Kind: a.kind, Command: b.told(a), Terminal: b.term != nil}
	if err := b.o.Record(e); err != nil {
		return Exit{Code: 255}, b.o.unrecorded(err)
	}
	exit, err := b.carry(s, a)
	e.Ended, e.Exit, e.Code, e.Masked = true, exit, fault.CodeOf(err), b.changed.Load()
	e.Sent, e.Received = b.sent.Load(), b.got.Load()
	if err := b.o.Record(e); err != nil { // it has run, and nobody would know: nothing more does
		b.unkept.Store(true)
		return Exit{Code: 255}, b.o.unrecorded(err)
	}
	return exit, err
}

func (o *BastionOptions) unrecorded(cause error) error {
	return fault.New(fault.AuditUnavailable, o.Handle+": what is done on it cannot be recorded, so nothing is done", "a person looks at the audit: zavhoz audit verify").Because(cause)
}

// refused records that nothing ran, and gives why.
func (b *bridge) refused(a ask, what string, err error) (Exit, error) {
	if b.ctx.Err() != nil {
		return b.left()
	}
	if e := b.c.b.refuse.deny(what, b.told(a), fault.CodeOf(err)); e != nil {
		err = b.o.unrecorded(e)
	}
	return Exit{Code: 255}, err
}

// left is how a session ends whose client has gone.
func (b *bridge) left() (Exit, error) {
	return Exit{Code: -1}, fault.New(fault.Canceled, b.o.Handle+": the client is gone", "")
}

// told is the command as an event may hold it: masked, then cut.
func (b *bridge) told(a ask) string { return b.o.masked(a.text) }

// masked is what an event may hold of a client's words.
func (o *BastionOptions) masked(words string) string {
	var text bytes.Buffer
	w := o.Mask(&text)
	_, err := io.WriteString(w, words)
	if errors.Join(err, w.Close()) != nil {
		return ""
	}
	return strings.ToValidUTF8(string(text.Bytes()[:min(text.Len(), maxTold)]), "")
}

// carry starts the command on the server and carries everything both ways until it has ended.
func (b *bridge) carry(s *Session, a ask) (Exit, error) {
	ended, eow := make(chan ending, 1), make(chan struct{}, 1)
	over, broken := make(chan struct{}), make(chan struct{})
	breaks := sync.OnceFunc(func() { close(broken) })
	var side sync.WaitGroup
	defer side.Wait()
	defer s.Close()
	side.Go(func() {
		s.watch(ended, eow)
		close(over)
	})
	side.Go(func() {
		select {
		case <-over:
			return
		case <-b.ctx.Done():
		case <-broken:
		}
		s.abandon(over)
	})
	if err := b.begin(s, a); err != nil {
		if b.ctx.Err() != nil {
			return b.left()
		}
		return Exit{Code: 255}, err
	}
	side.Go(func() { b.steer(s, eow, over) })
	b.reading = true
	b.work.Go(func() { b.input(s) })
	var out sync.WaitGroup
	var refusal atomic.Pointer[fault.Error]
	withhold := func(error) { // its command has no reader any more
		if !b.gone.Load() {
			refusal.Store(fault.New(fault.OutputWithheld, b.o.Handle+": the output is withheld, as it can no longer be kept free of values that must stay hidden", ""))
		}
		breaks()
	}
	out.Go(func() {
		defer guard(withhold)
		b.output(a, b.ch, s.out, withhold)
	})
	out.Go(func() {
		defer guard(withhold)
		b.text(stderr{b}, s.err, withhold)
	})
	out.Wait()
	end := <-ended
	switch {
	case b.ctx.Err() != nil, b.gone.Load():
		return b.left()
	case refusal.Load() != nil:
		return Exit{Code: 255}, refusal.Load()
	case !end.known:
		return Exit{Code: 255}, failed(s.target, Broken, errNoStatus)
	}
	return end.exit, nil
}

// begin asks the server for what the client asked for.
func (b *bridge) begin(s *Session, a ask) error {
	if b.term != nil {
		ok, err := s.request("pty-req", xssh.Marshal(b.term))
		if err == nil && !ok {
			b.say(b.o.Handle + ": the server gives no terminal")
		}
	}
	for _, v := range b.vars {
		_, _ = s.ch.SendRequest("env", false, xssh.Marshal(v))
	}
	ok, err := s.request(string(a.kind), a.payload())
	switch {
	case err != nil:
		return failed(s.target, Broken, err)
	case !ok && a.kind == KindSubsystem:
		return fault.New(fault.NotSupported, b.o.Handle+": the server has no subsystem "+a.text, "")
	case !ok:
		return failed(s.target, NoCommand, nil)
	}
	return nil
}

// steer passes on what is not data.
func (b *bridge) steer(s *Session, eow <-chan struct{}, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-eow: // "the command reads no more": ssh stops sending
			_, _ = b.ch.SendRequest("eow@openssh.com", false, nil)
		case z := <-b.sizes:
			_, _ = s.ch.SendRequest("window-change", false, xssh.Marshal(z))
		case name := <-b.signals:
			_, _ = s.ch.SendRequest("signal", false, xssh.Marshal(struct{ Signal string }{name}))
		}
	}
}

// input carries the client's input to the server, which may take no more of it before it ends.
func (b *bridge) input(s *Session) {
	defer contain(b.c.hangUp)
	buf := make([]byte, 32<<10)
	b.resume()
	refused := false
	for {
		n, err := b.ch.Read(buf)
		if n > 0 && !refused {
			b.c.conn.took(n)
			resume := b.c.conn.stall()
			_, werr := s.in.Write(buf[:n])
			resume()
			b.sent.Add(int64(n))
			refused = werr != nil
		}
		if err != nil {
			break
		}
	}
	_ = s.in.Close()
}

// say writes a line of ours on the client's stderr.
func (b *bridge) say(text string) {
	end := "\n"
	if b.term != nil {
		end = "\r\n"
	}
	_, _ = stderr{b}.Write([]byte("zavhoz: " + text + end))
}

// stderr is where two may write: the server, and this program.
type stderr struct{ b *bridge }

// Write is that of the client's stderr.
func (w stderr) Write(p []byte) (int, error) {
	w.b.said.Lock()
	defer w.b.said.Unlock()
	return w.b.ch.Stderr().Write(p)
}

// finish tells the client how it ended, and closes the session.
func (b *bridge) finish(exit Exit, err error) {
	defer func() { _ = b.ch.Close() }()
	if b.ctx.Err() != nil || b.gone.Load() {
		return
	}
	for _, n := range b.c.takeNotes() {
		b.say(n)
	}
	switch {
	case err != nil:
		b.say(fault.Of(err).Error())
	case b.changed.Load() && b.term == nil:
		b.say("values that must stay hidden were masked in what came from " + b.o.Handle + ", at the same length: do not write it back")
	}
	// Before the end of the output: OpenSSH closes a session that has ended both ways, and a status that comes later is lost.
	if _, known := signals[exit.Signal]; known {
		_, _ = b.ch.SendRequest("exit-signal", false, xssh.Marshal(struct {
			Signal        string
			Core          bool
			Message, Lang string
		}{Signal: exit.Signal}))
	} else {
		_, _ = b.ch.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{uint32(exit.Code & 0xff)}))
	}
	_ = b.ch.CloseWrite()
}

// abandon ends a session that nobody reads any more: TERM, then the session's end, at which a terminal hangs up, and after a grace it is left.
func (s *Session) abandon(over <-chan struct{}) {
	timer := time.AfterFunc(s.pool.o.Grace, s.leave)
	defer timer.Stop()
	s.term()
	_ = s.ch.Close()
	<-over
}
