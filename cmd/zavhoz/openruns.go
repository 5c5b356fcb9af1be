package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// openRuns gives the API a person's own runs. Such a run lives as long as the connection that asked for it: where that ends without a report, the
// person's command line was killed, and a record that says "running" for ever would keep the daemon up for ever too.
type openRuns struct {
	e *run.Engine
	v *vault.Vault
}

// OpenPlan gives the plan as something that writes itself, once, and wipes itself.
func (o openRuns) OpenPlan(ctx context.Context, actor vault.Actor, refs, command []string) (io.WriterTo, error) {
	p, err := o.e.OpenPlan(ctx, actor, refs, command)
	if err != nil {
		return nil, err
	}
	callerOf(ctx).began(p.RunID)
	return planWriter{p}, nil
}

// EndOpen records how a person's own run ended. Its reporter does not wait for the answer, so the end of the connection is no reason to stop.
func (o openRuns) EndOpen(ctx context.Context, actor vault.Actor, runID string, end api.EndRun) error {
	callerOf(ctx).ended(runID)
	return o.e.Report(context.WithoutCancel(ctx), actor, run.Ending{
		RunID: runID, ExitCode: end.ExitCode, Redactions: end.Redactions, OutBytes: end.OutBytes, Failed: end.State == string(vault.RunFailed),
	})
}

// abandon records the end of runs whose reporter is gone.
func (o openRuns) abandon(ctx context.Context, runs []string) {
	for _, id := range runs {
		_ = o.e.Report(ctx, vault.OperatorActor(), run.Ending{RunID: id, ExitCode: -1, Failed: true}) // unknown where it has ended after all
	}
}

// planWriter writes a plan to the operator's socket.
type planWriter struct{ p *deliver.Plan }

// WriteTo writes the encoded plan and wipes it. Its reader wants to know the length beforehand. It goes past net/http's own buffers, which the next reply would get as they are.
func (w planWriter) WriteTo(out io.Writer) (int64, error) {
	b := w.p.Encode()
	w.p.Wipe()
	defer clear(b)
	h, served := out.(http.ResponseWriter)
	past, able := out.(io.ReaderFrom)
	if !served || !able {
		n, err := out.Write(b)
		return int64(n), err
	}
	h.Header().Set("Content-Length", strconv.Itoa(len(b)))
	if err := http.NewResponseController(h).Flush(); err != nil { // before the header is sent it would not go past
		return 0, err
	}
	return past.ReadFrom(bytes.NewReader(b))
}

// caller is one connection to the operator's socket with the runs that it has begun.
type caller struct {
	mu   sync.Mutex
	runs map[string]bool
}

type callerKey struct{}

// callerOf finds the connection of a request; nil where there is none, as in tests, and that is usable.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

func (c *caller) began(id string) {
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.runs[id] = true
	}
}

func (c *caller) ended(id string) {
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.runs, id)
	}
}

func (c *caller) left() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.runs))
}

// callers are the connections that are open.
type callers struct{ open sync.Map } // net.Conn → *caller

// connContext puts the peer of the operator's socket, and what is known of the connection, into the request's context.
func (cs *callers) connContext(ctx context.Context, c net.Conn) context.Context {
	p, _ := peerOf(under(c))
	who := &caller{runs: map[string]bool{}}
	cs.open.Store(c, who)
	return context.WithValue(web.WithPeer(ctx, p), callerKey{}, who)
}

// closed gives the runs that a connection has left behind.
func (cs *callers) closed(c net.Conn) []string {
	if who, ok := cs.open.LoadAndDelete(c); ok {
		return who.(*caller).left()
	}
	return nil
}
