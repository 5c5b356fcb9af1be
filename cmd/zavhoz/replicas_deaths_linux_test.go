package main

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// wire is a way to the database that can be cut, as by a switch that dies: nothing comes through, and nobody is told.
type wire struct {
	net.Listener
	to  string
	mu  sync.Mutex
	cut chan struct{} // closed while the way is there; nil never
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, cut: make(chan struct{})}
	close(w.cut)
	t.Cleanup(func() {
		w.mend()
		_ = l.Close()
	})
	go w.serve()
	return w
}

func (w *wire) serve() {
	for {
		c, err := w.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		go w.pass(up, c)
		go w.pass(c, up)
	}
}

func (w *wire) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		<-w.there()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) there() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = make(chan struct{})
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.cut:
	default:
		close(w.cut)
	}
}

// of counts the handles of one writer that were acknowledged.
func (l *ledger) of(prefix string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := range l.values {
		if strings.HasPrefix(h, prefix) {
			n++
		}
	}
	return n
}

// TestThreeDaemonsUnderDeaths: while three daemons write, whichever leads is killed, PostgreSQL is killed, gives no connections, and the way of one to it is cut. Nothing acknowledged is lost, nothing is there twice, every
// client is told what it can act on, and all go on by themselves.
func TestThreeDaemonsUnderDeaths(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.NewDurable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	address := server.URL("sslmode=disable")
	w := newWire(t, server.Addr())
	all := replicas(t, address, address, strings.Replace(address, server.Addr(), w.Addr().String(), 1))
	defer func() {
		for _, p := range all {
			if log, err := os.ReadFile(p.dir.Log()); t.Failed() {
				t.Logf("%v: %s", err, log)
			}
		}
	}()
	book := &ledger{values: map[string]int{}, begun: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	ended := make(chan struct{})
	var writers sync.WaitGroup
	for i, p := range all {
		writers.Go(func() { p.keepsWriting(ctx, book, i, ended) })
	}
	more := func(what string, n int) {
		t.Helper()
		from := book.count()
		until(t, what, func() bool { return book.count() > from+n || ctx.Err() != nil })
	}
	more("writes begin", 30)
	for _, p := range all[:2] { // one of the three leads; the third is cut off below
		kill(t, p.status().PID)
		more("writes after a daemon's death", 30)
	}
	server.Kill(t)
	server.Restart(t)
	more("writes after the database's death", 30)
	limit := func(n string) {
		server.AdminExec(t, "postgres", "ALTER ROLE "+postgrestest.User+" CONNECTION LIMIT "+n)
	}
	limit("2") // for three daemons that want many each
	server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = '"+postgrestest.User+"'")
	stood := book.count()
	time.Sleep(3 * time.Second)
	limit("-1")
	t.Logf("%d writes over two connections", book.count()-stood)
	more("writes once there are connections again", 30)
	w.sever()
	more("writes of the others while one is cut off", 30)
	cut := book.of("r2_")
	w.mend()
	until(t, "the one that was cut off writes again", func() bool { return book.of("r2_") > cut+5 })
	close(ended)
	writers.Wait()
	if ctx.Err() != nil {
		t.Fatal("the writers did not come to their end")
	}
	for _, p := range all {
		p.holds(book, true)
	}
	all[0].ok("audit", "verify")
}
