package relay

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// calls are the client's requests that have no reply yet.
type calls struct {
	mu   sync.Mutex
	by   map[string]*call
	none *sync.Cond // by became empty
}

type call struct {
	msg      wire.Message // with copies of what pointed into the line
	line     []byte       // of a repeatable request only
	link     *link        // the connection that it went out on
	repeated bool
}

func newCalls() *calls {
	c := &calls{by: map[string]*call{}}
	c.none = sync.NewCond(&c.mu)
	return c
}

// readOnly are the methods that change nothing, and may be asked of the next daemon when one ends.
var readOnly = map[string]bool{
	"initialize": true, "ping": true, "server/discover": true, "tools/list": true, "prompts/list": true, "prompts/get": true,
	"resources/list": true, "resources/templates/list": true, "resources/read": true,
}

// maxRepeat is the length in bytes of the longest request that is kept for repeating.
const maxRepeat = 64 << 10

func (c *call) repeatable() bool { return c.line != nil && !c.repeated }

// add notes a request; it is false when too many wait.
func (c *calls) add(m wire.Message, line []byte) bool {
	x := &call{msg: wire.Message{ID: bytes.Clone(m.ID), Method: m.Method}}
	if bytes.Contains(line, []byte(wire.VersionKey)) {
		x.msg.Version = "modern" // sorts after any date: the version itself is not looked at
	}
	if readOnly[m.Method] && len(line) <= maxRepeat {
		x.line = bytes.Clone(line)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.by) >= maxPending {
		return false
	}
	c.by[string(m.ID)] = x
	return true
}

// sent notes which link a request went out on.
func (c *calls) sent(id []byte, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.by[string(id)]; x != nil {
		x.link = l
	}
}

// answered forgets a request whose reply has come; it is false for a reply that the client must not see.
func (c *calls) answered(l *link, id []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.swallow != "" && l.swallow == string(id) {
		l.swallow = ""
		return false
	}
	c.remove(id)
	return true
}

// waits tells whether a request has no reply yet.
func (c *calls) waits(id []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[string(id)] != nil
}

// take forgets a request and gives it, or nil when it has been answered already.
func (c *calls) take(id []byte) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(id)
}

func (c *calls) remove(id []byte) *call {
	x := c.by[string(id)]
	if x != nil {
		delete(c.by, string(id))
		if len(c.by) == 0 {
			c.none.Broadcast()
		}
	}
	return x
}

// on gives the requests that went out on a link.
func (c *calls) on(l *link) []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*call
	for _, x := range c.by {
		if x.link == l {
			out = append(out, x)
		}
	}
	return out
}

// drain waits until every request has its reply, at most for d.
func (c *calls) drain(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.none.Broadcast()
	})()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.by) > 0 && ctx.Err() == nil {
		c.none.Wait()
	}
}
