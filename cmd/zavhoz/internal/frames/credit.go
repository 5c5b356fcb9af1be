package frames

import (
	"io"
	"sync"
)

// Credit is the sender's side of the window: how many bytes of Stdin may still be sent.
type Credit struct {
	mu     sync.Mutex
	some   *sync.Cond
	left   int
	closed bool
}

// NewCredit gives a full window.
func NewCredit() *Credit {
	c := &Credit{left: MaxAhead}
	c.some = sync.NewCond(&c.mu)
	return c
}

// Take waits for room and takes up to n bytes of it; 0 after Close.
func (c *Credit) Take(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.left == 0 && !c.closed {
		c.some.Wait()
	}
	if c.closed {
		return 0
	}
	n = min(n, c.left)
	c.left -= n
	return n
}

// Give adds what the other side has taken. It refuses more than was ever sent.
func (c *Credit) Give(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 0 || n > MaxAhead-c.left {
		return ErrWindow
	}
	c.left += n
	c.some.Broadcast()
	return nil
}

// Close lets who waits go.
func (c *Credit) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.some.Broadcast()
}

// Inbox is the receiver's side: a reader of what came in Stdin frames. It never holds more than MaxAhead bytes, and tells taken how many were read from it.
type Inbox struct {
	taken func(n int) error

	mu     sync.Mutex
	some   *sync.Cond
	buf    []byte
	at     int // what of buf was read
	ended  bool
	broken error
}

// NewInbox makes one; taken sends a Window frame.
func NewInbox(taken func(n int) error) *Inbox {
	b := &Inbox{taken: taken}
	b.some = sync.NewCond(&b.mu)
	return b
}

// Put adds the bytes of a frame.
func (b *Inbox) Put(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || len(b.buf)-b.at+len(p) > MaxAhead {
		return ErrWindow
	}
	if b.at > 0 && len(b.buf)+len(p) > cap(b.buf) {
		n := copy(b.buf, b.buf[b.at:])
		clear(b.buf[n:])
		b.buf, b.at = b.buf[:n], 0
	}
	b.buf = append(b.buf, p...)
	b.some.Broadcast()
	return nil
}

// End says that no more comes: nil for a proper end, else why.
func (b *Inbox) End(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.broken == nil {
		b.broken = err
	}
	b.some.Broadcast()
}

// Read waits for bytes, or the end.
func (b *Inbox) Read(p []byte) (int, error) {
	b.mu.Lock()
	for b.at == len(b.buf) && !b.ended {
		b.some.Wait()
	}
	if b.broken != nil {
		b.mu.Unlock()
		return 0, b.broken
	}
	n := copy(p, b.buf[b.at:])
	clear(b.buf[b.at : b.at+n])
	if b.at += n; b.at == len(b.buf) {
		b.buf, b.at = b.buf[:0], 0
	}
	ended := b.ended
	b.mu.Unlock()
	if n == 0 && ended && len(p) > 0 {
		return 0, io.EOF
	}
	return n, b.taken(n)
}
