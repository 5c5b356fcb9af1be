package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
)

// neighbour is another agent's command on the same connection. It goes on until its end is wanted, and then has to end well. Whatever becomes of the test, it ends with the test's folder: nobody else would end it.
type neighbour struct {
	until  string
	result chan error
	out    *watcher
}

func beside(t *testing.T, p *ssh.Pool, tg ssh.Target) *neighbour {
	t.Helper()
	s, err := p.Connect(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := &neighbour{until: filepath.Join(dir, "until"), result: make(chan error, 1), out: watch("begun")}
	go func() {
		exit, err := s.Run(t.Context(), ssh.Command{Line: "echo begun; until test -e " + n.until + "; do test -d " + dir + " || exit 4; sleep 0.1; done; echo well; exit 3", Stdout: n.out})
		if err == nil && exit.Code != 3 {
			err = errors.New("another exit code")
		}
		n.result <- err
	}()
	<-n.out.seen
	return n
}

func (n *neighbour) endsWell(t *testing.T) {
	t.Helper()
	select {
	case err := <-n.result:
		t.Fatalf("it was ended: %v", err)
	default:
	}
	if err := os.WriteFile(n.until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-n.result; err != nil || n.out.buf.String() != "begun\nwell\n" {
		t.Errorf("%q %v", n.out.buf.String(), err)
	}
}

// One run's cancel while its session opens ends no other's command.
func TestAttack64_ACancelledConnectLeavesTheNeighbours(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	n := beside(t, p, target(server))
	for range 4 { // a server has places for ten
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := p.Connect(ctx, target(server)); err == nil {
			s.Close() // the server was quicker
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if out, _, _, err := do(t, p, target(server), ssh.Command{Line: "echo on"}); err != nil || out != "on\n" || server.Logins() != 1 {
		t.Errorf("%q %v, %d logins", out, err, server.Logins())
	}
	n.endsWell(t)
}

// stubborn ignores every signal, for longer than anybody waits.
const stubborn = `trap "" TERM HUP PIPE; echo stubborn; sleep 8`

// One run's command that does not let itself be stopped is left behind; the neighbour's goes on, and new ones get a connection of their own.
func TestAttack64_AStubbornCommandIsLeftAlone(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{Grace: 50 * time.Millisecond})
	n := beside(t, p, target(server))
	s, err := p.Connect(t.Context(), target(server))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why, out := errors.New("stopped"), watch("stubborn")
	go func() { <-out.seen; cancel(why) }()
	if _, err := s.Run(ctx, ssh.Command{Line: stubborn, Stdin: make([]byte, 8<<20), Stdout: out}); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if out, _, _, err := do(t, p, target(server), ssh.Command{Line: "echo new"}); err != nil || out != "new\n" || server.Logins() != 2 {
		t.Errorf("%q %v, %d logins", out, err, server.Logins())
	}
	n.endsWell(t)
	server.Await(t, "Closing connection to") // the retired one, with its last
}

// The same through a bastion, whose end waits for neither.
func TestAttack64_AnAbandonedSessionLeavesTheNeighbours(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{Grace: 50 * time.Millisecond})
	n := beside(t, p, target(server))
	b := newBed(t, bedOptions{connect: func(ctx context.Context) (*ssh.Session, error) { return p.Connect(ctx, target(server)) }})
	ch := execOn(t, dial(t, b), stubborn)
	if _, err := io.ReadFull(ch, make([]byte, len("stubborn\n"))); err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	if server.Logins() != 1 {
		t.Errorf("%d logins", server.Logins())
	}
	n.endsWell(t)
}

// A pool that ends does not wait for those who were left either.
func TestAPoolEndsWithWhatWasRetired(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := ssh.NewPool(ssh.Options{})
	n := beside(t, p, target(server))
	p.Forget(target(server).ID)
	p.Close()
	if err := <-n.result; err == nil {
		t.Error("it went on")
	}
}

// panics is a callback with a defect.
type panics struct{ on atomic.Bool }

func (p *panics) strike() {
	if p.on.Load() {
		panic("canary-4417 in a panic")
	}
}

// What is sent finds a defect in a mask or a record: that session or connection ends, and the daemon, which this process stands for, does not.
func TestAttack67_ADefectEndsItsConnectionOnly(t *testing.T) {
	for _, where := range []string{"mask", "fill", "record"} {
		var p panics
		set := redact.NewSet(redact.Options{})
		mask := func(name string) func(io.Writer) io.WriteCloser {
			return func(w io.Writer) io.WriteCloser {
				if where == name {
					p.strike()
				}
				return set.Stream(w)
			}
		}
		b := newBed(t, bedOptions{change: func(o *ssh.BastionOptions) {
			record := o.Record
			o.Mask, o.Fill = mask("mask"), mask("fill")
			o.Record = func(e ssh.Event) error {
				if where == "record" {
					p.strike()
				}
				return record(e)
			}
		}})
		c := dial(t, b)
		p.on.Store(true)
		if ch, reqs, err := c.OpenChannel("session", nil); err == nil {
			_, _ = ch.SendRequest("x11-req", true, nil)
			_, _ = ch.SendRequest("exec", true, xssh.Marshal(struct{ Line string }{"rsync --server x; echo out"}))
			go xssh.DiscardRequests(reqs)
			out, _ := io.ReadAll(ch)
			if bytes.Contains(out, []byte("canary")) {
				t.Errorf("%s: %q", where, out)
			}
		}
		_, _, _ = c.SendRequest("tcpip-forward", true, nil)
		_, _, _ = c.OpenChannel("x11", nil)
		p.on.Store(false)
		if where == "record" {
			continue // what cannot be recorded ends the bastion's work
		}
		if out, errs, code := b.client(t, "", "ssh", "prod_vps_1", "echo", "still"); out != "still\n" || code != 0 {
			t.Errorf("%s: %q %q %d", where, out, errs, code)
		}
	}
}

// The same of a sink of a command that is run in-process.
func TestAttack67_ADefectOfASink(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	s, err := newPool(t, ssh.Options{}).Connect(t.Context(), target(server))
	if err != nil {
		t.Fatal(err)
	}
	var p panics
	p.on.Store(true)
	if _, err := s.Run(t.Context(), ssh.Command{Line: "echo out; exit 0", Stdout: striking{&p}}); err == nil {
		t.Error("nobody would know that the output is not whole")
	}
}

type striking struct{ p *panics }

func (s striking) Write(b []byte) (int, error) {
	s.p.strike()
	return len(b), nil
}
