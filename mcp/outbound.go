package mcp

import (
	"context"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// outbound is what is on its way to other servers without a wish for a reply. Whoever sent it has done their part and may hang up: it goes on within a time of its own, and the server's end waits for it (Settle).
type outbound struct {
	mu   sync.Mutex
	over bool // nothing more begins
	work sync.WaitGroup
	ctx  context.Context // ends what has no more time
	stop context.CancelFunc
}

func newOutbound() *outbound {
	o := &outbound{}
	o.ctx, o.stop = context.WithCancel(context.Background())
	return o
}

// begin gives what lasts no longer than limit, and holds the server's end up until leave is called.
func (o *outbound) begin(ctx context.Context, limit time.Duration) (out context.Context, leave func(), f *fault.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return nil, nil, notReached("this daemon is stopping", nil)
	}
	o.work.Add(1)
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	free := context.AfterFunc(o.ctx, cancel)
	return out, func() { free(); cancel(); o.work.Done() }, nil
}

// outward lets a message of an agent out to other servers, within the places and the minute that it has for that.
func (s *Server) outward(ctx context.Context, ag Agent, limit time.Duration) (out context.Context, leave func(), f *fault.Error) {
	back, f := s.agents.hand(ag)
	if f != nil {
		return nil, nil, f
	}
	out, done, f := s.outbound.begin(ctx, limit)
	if f != nil {
		back()
		return nil, nil, f
	}
	return out, func() { done(); back() }, nil
}

// Settle waits for what is on its way to other servers, and breaks it off when ctx ends. Nothing is handed over afterwards: call it when the doors are shut, and before what carries messages is.
func (s *Server) Settle(ctx context.Context) {
	o := s.outbound
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	defer context.AfterFunc(ctx, o.stop)()
	o.work.Wait()
}
