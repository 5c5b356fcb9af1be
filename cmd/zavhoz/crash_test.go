//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Size of TestKilledAmidWrites.
var (
	crashWrites  = atLength(600, 2000)
	crashWriters = 4
	crashKills   = atLength(5, 16)
)

// atLength is the size of a round of random kills: few at each `make test`, each time others, and many with ZAVHOZ_LONG.
func atLength(ordinary, long int) int {
	if os.Getenv("ZAVHOZ_LONG") != "" {
		return long
	}
	return ordinary
}

// ledger is what the writers were told: the truth that the vault is held to.
type ledger struct {
	mu      sync.Mutex
	values  map[string]int // handle → number of the last value that was acknowledged
	begun   map[string]int // handle → number of the last value that was sent
	written int
}

func (l *ledger) sends(handle string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun[handle] = n
}

func (l *ledger) acknowledged(handle string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values[handle] = n
	l.written++
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// valueOf is the n-th value of a handle: long enough to tell a mix-up.
func valueOf(handle string, n int) string { return fmt.Sprintf("value-%s-%06d-end", handle, n) }

// TestKilledAmidWrites kills the daemon at random moments while writers add and change resources through the operator's socket. What was
// acknowledged is there afterwards with its right value; what was not is there whole or not at all; the chain of the audit log holds.
func TestKilledAmidWrites(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.configure("idle_exit_s: 900", "idle_exit_s: 0")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	book := &ledger{values: map[string]int{}, begun: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() { p.writes(ctx, book, w) })
	}
	for kill := 1; kill <= crashKills; kill++ {
		target := crashWrites * kill / (crashKills + 1)
		until(t, "writes go on", func() bool { return book.count() >= target || ctx.Err() != nil })
		pid := p.status().PID
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // a random moment within a few transactions
		p.kill(pid)
		p.holds(book, false)
	}
	writers.Wait()
	if ctx.Err() != nil || book.count() < crashWrites {
		t.Fatalf("%d of %d writes: %v", book.count(), crashWrites, ctx.Err())
	}
	p.stop()
	p.holds(book, true)
}

// writes adds resources and changes them, one after the other, until enough is acknowledged. A call that fails may have happened: it is made again,
// and a handle that is taken then is the one that was sent.
func (p *place) writes(ctx context.Context, book *ledger, writer int) {
	cl := p.client()
	for i := 0; book.count() < crashWrites && ctx.Err() == nil; i++ {
		handle := fmt.Sprintf("r%d_%d", writer, i)
		book.sends(handle, 1)
		in := map[string]any{"kind": "generic", "handle": handle, "attrs": map[string]string{"env": fmt.Sprintf("R%d_%d", writer, i)}, "secrets": map[string]string{"value": valueOf(handle, 1)}}
		if !p.insist(ctx, func() error { return cl.call(ctx, "POST", path("resources"), in, nil) }, fault.HandleTaken) {
			return
		}
		book.acknowledged(handle, 1)
		for n := 2; n <= 3; n++ {
			book.sends(handle, n)
			edit := map[string]any{"secrets": map[string]string{"value": valueOf(handle, n)}}
			if !p.insist(ctx, func() error { return cl.call(ctx, "PATCH", path("resources", handle), edit, nil) }, "") {
				return
			}
			book.acknowledged(handle, n)
		}
	}
}

// insist calls until it is acknowledged. Only a daemon that went away is a reason to call again.
func (p *place) insist(ctx context.Context, call func() error, done fault.Code) bool {
	for ctx.Err() == nil {
		err := call()
		switch code := fault.CodeOf(err); {
		case err == nil || code == done:
			return true
		case code == fault.DaemonUnavailable || code == fault.DaemonRestarted:
		default:
			if ctx.Err() == nil {
				p.t.Errorf("a write was refused: %v", err)
			}
			return false
		}
	}
	return false
}

// holds compares the vault with the ledger. A value cannot be read through any door: a run tells whether its command got the right one.
func (p *place) holds(book *ledger, all bool) {
	p.t.Helper()
	book.mu.Lock()
	acked := make(map[string]int, len(book.values))
	for h, n := range book.values {
		acked[h] = n
	}
	book.mu.Unlock()

	found := map[string]api.Resource{}
	cl := p.client()
	for cursor := ""; ; {
		var page api.Page[api.Resource]
		if err := cl.call(p.t.Context(), "GET", path("resources")+"?limit=500&cursor="+cursor, nil, &page); err != nil {
			p.t.Fatal(err)
		}
		for _, r := range page.Items {
			found[r.Handle] = r
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for handle, n := range acked {
		r, ok := found[handle]
		if !ok {
			p.t.Fatalf("%s was acknowledged and is lost", handle)
		}
		if r.Version < uint64(n) {
			p.t.Fatalf("%s: version %d was acknowledged, there is %d", handle, n, r.Version)
		}
	}
	p.ok("audit", "verify")
	if all {
		p.values(book, acked, found)
	}
}

// values looks at the value of every acknowledged resource, by the plan that a person's own run would get.
func (p *place) values(book *ledger, acked map[string]int, found map[string]api.Resource) {
	p.t.Helper()
	if len(found) > len(book.begun) {
		p.t.Fatalf("%d resources, and only %d were ever sent", len(found), len(book.begun))
	}
	var handles []string
	for h := range acked {
		handles = append(handles, h)
	}
	got := p.plan(handles)
	for h, n := range acked {
		if v := got[h]; v != valueOf(h, n) && v != valueOf(h, book.begun[h]) {
			p.t.Fatalf("%s has the value %q, acknowledged was %q", h, v, valueOf(h, n))
		}
	}
}
