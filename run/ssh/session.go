package ssh

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Session is one session on a server, ready for one command. Run or Close it.
type Session struct {
	pool   *Pool
	link   *link
	target Target
	ch     xssh.Channel
	reqs   <-chan *xssh.Request
	once   sync.Once
	freed  sync.Once
	left   context.Context // ends when the session is left: nobody waits for the server any more
	cut    context.CancelFunc
	streams
}

func newSession(p *Pool, l *link, t Target, ch xssh.Channel, reqs <-chan *xssh.Request) *Session {
	s := &Session{pool: p, link: l, target: t, ch: ch, reqs: reqs}
	s.left, s.cut = context.WithCancel(context.Background())
	s.streams = detachable(s.left, ch)
	return s
}

// Command is what a session runs.
type Command struct {
	Line   string // see Line
	Stdin  []byte
	Stdout io.Writer
	Stderr io.Writer
}

// Exit is how a remote command ended.
type Exit struct {
	Code   int    // its own, or 128+signal
	Signal string // "TERM", …; "" where it exited by itself
}

// Line joins the arguments of a remote command as OpenSSH does: by spaces, for the remote user's shell to read. One leading "--" is dropped.
func Line(args []string) (string, error) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	line := strings.Join(args, " ")
	if strings.TrimSpace(line) == "" {
		return "", fault.New(fault.InvalidArgument, "there is no interactive session: say which command to run on the server", `for example ["ssh","HANDLE","uptime"]`)
	}
	if strings.ContainsRune(line, 0) {
		return "", fault.New(fault.InvalidArgument, "a remote command cannot hold a zero byte", "")
	}
	return line, nil
}

// Hidden gives the name and address of the server, to keep out of what the command prints. They live as long as the connection.
func (s *Session) Hidden() []secret.Secret { return s.link.hidden }

// Close gives an unused session back.
func (s *Session) Close() {
	s.once.Do(func() {
		_ = s.ch.Close()
		go xssh.DiscardRequests(s.reqs) // ends with the channel
		s.free()
		s.cut()
	})
}

// Run runs the command and waits for its end. When ctx ends it sends TERM, then closes the session, then leaves it, a grace apart each; the
// error is then ctx's cause. A connection that breaks is connection_failed; the command is not sent again.
func (s *Session) Run(ctx context.Context, c Command) (Exit, error) {
	defer s.once.Do(func() {
		_ = s.ch.Close()
		s.free()
		s.cut()
	})
	ended := make(chan ending, 1)
	go s.watch(ended, nil)
	stop := s.stopWith(ctx)
	ok, err := s.request("exec", xssh.Marshal(struct{ Command string }{c.Line}))
	if err != nil || !ok {
		class := NoCommand
		if err != nil {
			class = Broken
		}
		if stop() {
			return Exit{Code: -1}, context.Cause(ctx)
		}
		return Exit{}, failed(s.target, class, err)
	}
	whole := s.stream(c)
	end := <-ended
	switch stopped := stop(); {
	case stopped && !end.known:
		return Exit{Code: -1}, context.Cause(ctx)
	case stopped:
		return end.exit, context.Cause(ctx)
	case !whole:
		return end.exit, fault.New(fault.Internal, s.target.Handle+": taking the output failed inside zavhoz", "").Because(errDefect)
	case !end.known:
		return Exit{}, failed(s.target, Broken, errNoStatus)
	}
	return end.exit, nil
}

// stream copies all three streams until the output has ended. False: a sink broke.
func (s *Session) stream(c Command) bool {
	var copying sync.WaitGroup
	var broken atomic.Bool
	copying.Go(func() { drain(c.Stdout, s.out, &broken) })
	copying.Go(func() { drain(c.Stderr, s.err, &broken) })
	copying.Go(func() {
		_, _ = s.in.Write(c.Stdin) // a command that does not read its input is no failure
		_ = s.in.Close()
	})
	copying.Wait()
	return !broken.Load()
}

// drain reads to the end even where the sink refuses: unread output would block the command, and every other session of the connection.
func drain(to io.Writer, from io.Reader, broken *atomic.Bool) {
	defer func() { _, _ = io.Copy(io.Discard, from) }()
	defer contain(func() { broken.Store(true) })
	if to != nil {
		_, _ = io.Copy(&shown{dst: to}, from)
	}
}

// stopWith ends the command in three steps when ctx ends. The function it returns calls that off, and tells whether it had begun.
func (s *Session) stopWith(ctx context.Context) (begun func() bool) {
	done, left := make(chan struct{}), make(chan bool, 1)
	go func() {
		select {
		case <-done:
			left <- false
			return
		case <-ctx.Done():
		}
		last := time.AfterFunc(2*s.pool.o.Grace, s.leave) // whatever becomes of the steps before: a server that reads nothing holds up both
		defer last.Stop()
		end := time.AfterFunc(s.pool.o.Grace, func() { _ = s.ch.Close() })
		defer end.Stop()
		go s.term()
		<-done
		left <- true
	}()
	return func() bool { close(done); return <-left }
}

// ending is what the server said of the command's end.
type ending struct {
	exit  Exit
	known bool
}

// watch answers the server's requests until the session ends. It waits for nobody: a request that it did not take would stop the other sessions of the
// connection. eow, if any, hears that the command reads no more.
func (s *Session) watch(ended chan<- ending, eow chan<- struct{}) {
	var e ending
	defer func() { ended <- e }()
	for {
		select {
		case r, more := <-s.reqs:
			if !more {
				return
			}
			e.take(r, eow)
		case <-s.left.Done():
			go xssh.DiscardRequests(s.reqs) // ends with the channel
			return
		}
	}
}

// take reads one request of the server.
func (e *ending) take(r *xssh.Request, eow chan<- struct{}) {
	defer contain(func() { *e = ending{} })
	switch r.Type {
	case "exit-status":
		var m struct{ Status uint32 }
		if xssh.Unmarshal(r.Payload, &m) == nil {
			*e = ending{Exit{Code: int(m.Status & 0xff)}, true}
		}
	case "exit-signal":
		var m struct {
			Signal  string
			Core    bool
			Message string
			Lang    string
		}
		if xssh.Unmarshal(r.Payload, &m) == nil {
			n, known := signals[m.Signal]
			if !known {
				m.Signal = "unknown" // the server's text is not ours to show
			}
			*e = ending{Exit{Code: 128 + n, Signal: m.Signal}, true}
		}
	case "eow@openssh.com":
		select {
		case eow <- struct{}{}:
		default:
		}
	}
	if r.WantReply {
		_ = r.Reply(false, nil)
	}
}

// signals are the names of RFC 4254, with their usual numbers.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
}
