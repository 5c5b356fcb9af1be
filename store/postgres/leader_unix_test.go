//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store/postgres"
)

// takeover is how long after a leader's end another may take.
const takeover = 15 * time.Second

// candidates lead by turns, and note when two do.
type candidates struct {
	t    *testing.T
	now  atomic.Int64 // how many lead
	seen chan int     // who began to
}

func (c *candidates) lead(ctx context.Context, s *postgres.Store, who int) {
	_ = s.Lead(ctx, "cron", fmt.Sprint("candidate ", who), func(ctx context.Context) {
		if c.now.Add(1) > 1 {
			c.t.Error("two lead at once")
		}
		c.seen <- who
		<-ctx.Done()
		c.now.Add(-1)
	})
}

func (c *candidates) next() int {
	c.t.Helper()
	select {
	case who := <-c.seen:
		return who
	case <-time.After(4 * takeover): // a busy machine; how long it takes is measured below
		c.t.Fatal("nobody leads")
		return 0
	}
}

// One leads; when it ends, or its session does, another follows, and never two at once.
func TestOneLeads(t *testing.T) {
	o := fresh(server)
	create(t, o)
	c := &candidates{t: t, seen: make(chan int, 10)}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stops := make([]context.CancelFunc, 3)
	for i := range stops {
		var one context.Context
		one, stops[i] = context.WithCancel(ctx)
		s := open(t, o)
		wg.Go(func() { c.lead(one, s, i) })
	}
	any := open(t, o)
	named := func(who int) {
		t.Helper()
		if got, err := any.Leader(t.Context(), "cron"); err != nil || got != fmt.Sprint("candidate ", who) {
			t.Errorf("%q leads, not candidate %d: %v", got, who, err)
		}
	}
	if got, err := any.Leader(t.Context(), "nothing"); err != nil || got != "" {
		t.Errorf("%q leads what nobody asked for: %v", got, err)
	}
	foreign, err := pgx.Connect(t.Context(), o.URL)
	if err == nil {
		defer foreign.Close(context.Background())
		_, err = foreign.Exec(t.Context(), "SELECT pg_advisory_lock($1)", postgres.LeaderLock(any, "someone"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := any.Leader(t.Context(), "someone"); err != nil || got != "" {
		t.Errorf("%q leads, which did not call itself so: %v", got, err)
	}
	first := c.next()
	named(first)
	stops[first]()
	second := c.next()
	named(second)
	if second == first {
		t.Error("it leads though it was told to stop")
	}
	server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'")
	if third := c.next(); third == first {
		t.Error("it leads though it was told to stop")
	}
}

// wire is a way to the server that can be cut: what is sent goes nowhere, and nobody is told.
type wire struct {
	l   net.Listener
	cut chan struct{}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, cut: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(in, to)
		}
	}()
	return w
}

func (w *wire) carry(in net.Conn, to string) {
	out, err := net.Dial("tcp", to)
	if err != nil {
		in.Close()
		return
	}
	for _, p := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := p[0].Read(buf)
				select {
				case <-w.cut: // neither closed nor answered
					return
				default:
				}
				if err != nil {
					p[1].Close()
					return
				}
				if _, err := p[1].Write(buf[:n]); err != nil {
					p[0].Close()
					return
				}
			}
		}()
	}
}

// A leader whose socket is blocked, as by a partition, steps down, and another takes over within 15 s; so does one whose process stands still or is killed. A writer
// that is cut off while it holds the lock of all writes holds them up for seconds only.
func TestALeaderThatIsCutOff(t *testing.T) {
	o := fresh(server)
	b := create(t, o)
	w := newWire(t, server.Addr())
	cutOff := o
	cutOff.URL = strings.Replace(o.URL, server.Addr(), w.l.Addr().String(), 1)
	cutOff.Patience = time.Second
	a := open(t, cutOff)
	c := &candidates{t: t, seen: make(chan int, 10)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { c.lead(ctx, a, 0) })
	if c.next() != 0 {
		t.Fatal("who is alone does not lead")
	}
	wg.Go(func() { c.lead(ctx, b, 1) })
	close(w.cut)
	cutAt := time.Now()
	if c.next() != 1 {
		t.Error("the one that is cut off leads again")
	}
	t.Logf("taken over after %v", time.Since(cutAt))
	put(t, b, "a", "1")
	cancel()
}

func TestALeaderIsKilled(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		t.Run(how.String(), func(t *testing.T) {
			o := fresh(server)
			b := create(t, o)
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), leaderEnv+"="+o.URL+"&zavhoz_schema="+o.Schema)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _, _ = io.Copy(io.Discard, out); _ = cmd.Wait() }()
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "leads\n" {
				t.Fatalf("%q %v", line, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			c := &candidates{t: t, seen: make(chan int, 10)}
			wg.Go(func() { c.lead(ctx, b, 1) })
			time.Sleep(time.Second) // b has tried, and stands by
			if len(c.seen) > 0 {
				t.Fatal("two lead at once")
			}
			if err := cmd.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			c.next()
			t.Logf("taken over after %v", time.Since(at))
		})
	}
}
