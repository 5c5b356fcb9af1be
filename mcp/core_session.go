package mcp

import (
	"context"
	"encoding/json"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// coreSession is a request as mcp-go sees it: a client session of its own, so that nothing of one request, whosever it is, can reach another
// through the library (its defects 3, 4 and 14 are of that kind).
type coreSession struct {
	*request
	ctx     context.Context // for the inventory that mcp-go asks for without one
	problem error           // of an inventory that mcp-go asks for without room for an error
	channel chan mcpgo.JSONRPCNotification
}

var (
	_ server.ClientSession        = (*coreSession)(nil)
	_ server.SessionWithResources = (*coreSession)(nil)
)

func sessionOf(ctx context.Context) *coreSession {
	rq, _ := server.ClientSessionFromContext(ctx).(*coreSession)
	return rq
}

// Initialize does nothing: a request needs no handshake of its own.
func (rq *coreSession) Initialize() {}

// Initialized is always true.
func (rq *coreSession) Initialized() bool { return true }

// SessionID keeps mcp-go's own bookkeeping of calls in flight apart.
func (rq *coreSession) SessionID() string { return rq.caller.Session }

// NotificationChannel holds what mcp-go itself sends during a request: the acknowledgement of subscriptions/listen, nothing else.
func (rq *coreSession) NotificationChannel() chan<- mcpgo.JSONRPCNotification {
	if rq.channel == nil {
		rq.channel = make(chan mcpgo.JSONRPCNotification, 4)
	}
	return rq.channel
}

// flush sends what mcp-go put into the channel.
func (rq *coreSession) flush() {
	for rq.channel != nil {
		select {
		case n := <-rq.channel:
			if raw, err := json.Marshal(n); err == nil && rq.notify != nil {
				rq.notify(raw)
			}
		default:
			return
		}
	}
}
