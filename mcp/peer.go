package mcp

import (
	"bytes"
	"context"
	"sync"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// peer is a client that stays connected: by the unix socket or by an SSE stream. Requests run beside each other, at most Limits.Workers at
// once; the rest wait in a bounded queue, and what does not fit there is refused. Replies go into one bounded queue that one writer empties.
type peer struct {
	srv     *Server
	caller  Caller
	ctx     context.Context // ends with the connection, and with it every call: a handler never outlives its client unseen (defect 12)
	cancel  context.CancelFunc
	out     chan []byte
	flights flights
	ask     askSlot

	mu      sync.Mutex
	running int
	queue   []job
	can     canAsk // what its initialize declared
	workers sync.WaitGroup
}

type job struct {
	rq     *request
	raw    []byte
	flight *flight
	leave  func()
}

func (s *Server) newPeer(ctx context.Context, c Caller) *peer {
	p := &peer{srv: s, caller: c, out: make(chan []byte, s.limits.QueuePerConn)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// accept takes one message from the client; it keeps no part of raw. It blocks while replies pile up unread.
func (p *peer) accept(ag Agent, raw []byte) {
	raw = bytes.Clone(raw)
	m, bad := wire.Parse(raw)
	switch {
	case bad != nil && wire.Responds(raw):
		p.drop(bad.Text)
	case bad != nil:
		p.send(wire.RPCError(m.ID, bad.Code, bad.Text, nil))
	case m.Cancel():
		p.flights.stop(m.Cancels)
	case m.Request():
		p.request(ag, m, raw)
	case m.Response():
		p.ask.take(&m)
	}
	// What is left asks for nothing: other notifications.
}

// drop leaves a response lie that cannot be read: nobody answers one, not even by an error. why is a sentence of ours.
func (p *peer) drop(why string) {
	p.srv.log.Debug("a response was dropped", "agent", p.caller.Agent, "door", p.caller.Door, "why", why)
}

func (p *peer) request(ag Agent, m wire.Message, raw []byte) {
	leave, e := p.srv.agents.enter(ag)
	if e != nil {
		p.send(wire.Refuse(&m, e))
		return
	}
	caller := p.caller
	caller.AgentID, caller.Agent, caller.Attended = ag.ID, ag.Name, ag.Attended
	rq := &request{srv: p.srv, caller: caller, msg: m, notify: p.offer, asking: p.asking(&m)}
	j := job{rq: rq, raw: raw, flight: p.flights.start(p.ctx, m.ID), leave: leave}
	if m.Method == "initialize" { // a client that does not wait for it still has its reply first
		p.run(j)
		return
	}
	p.mu.Lock()
	switch {
	case p.running < p.srv.limits.Workers:
		p.running++
		p.workers.Add(1)
		p.mu.Unlock()
		go p.work(j)
	case len(p.queue) < p.srv.limits.QueuePerConn:
		p.queue = append(p.queue, j)
		p.mu.Unlock()
	default:
		p.mu.Unlock()
		p.flights.end(m.ID, j.flight)
		leave()
		p.send(wire.Refuse(&m, fault.New(fault.Busy, "this connection has too many calls waiting", "wait for one to end, then call again")))
	}
}

// asking is how a call of this client reaches its person.
func (p *peer) asking(m *wire.Message) asking {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Method == "initialize" {
		p.can = canAskOf(m)
	}
	return asking{can: p.can, slot: &p.ask, send: p.send, id: newAskID}
}

func (p *peer) work(j job) {
	defer p.workers.Done()
	for more := true; more; {
		p.run(j)
		j, more = p.next()
	}
}

func (p *peer) next() (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.running--
		p.queue = nil
		return job{}, false
	}
	j := p.queue[0]
	p.queue[0] = job{}
	p.queue = p.queue[1:]
	return j, true
}

func (p *peer) run(j job) {
	var reply []byte
	if j.flight.ctx.Err() == nil {
		reply, _ = p.srv.serve(j.flight.ctx, j.rq, j.raw)
	}
	wanted := p.flights.end(j.rq.msg.ID, j.flight)
	j.leave()
	if wanted && reply != nil {
		p.send(reply)
	}
}

// send queues a message for the writer; it waits while the queue is full, until the connection ends.
func (p *peer) send(line []byte) {
	select {
	case p.out <- line:
	case <-p.ctx.Done():
	}
}

// offer is send for what may be lost: progress, to a client that reads too slowly.
func (p *peer) offer(line []byte) {
	select {
	case p.out <- line:
	default:
	}
}

// close ends every call and waits for them.
func (p *peer) close() {
	p.cancel()
	p.workers.Wait()
}
