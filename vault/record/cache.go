package record

import (
	"bytes"
	"sync"
)

// Bounds of one set's cache.
const (
	cacheEntries = 20_000
	cacheRow     = 32 << 10 // bytes of the largest row kept
	cacheBytes   = 64 << 20 // bytes of all rows kept
)

// cache keeps decoded records by key, each with the bytes it was decoded from: an entry counts only for equal bytes, so it needs no
// notice of changes and is right in every transaction.
type cache[T any] struct {
	mu    sync.RWMutex
	rows  map[string]*decoded[T]
	bytes int
}

type decoded[T any] struct {
	raw []byte
	v   T
}

// peek gives what is kept under key, for a caller that compares the bytes itself; nil where nothing is.
func (c *cache[T]) peek(key string) *decoded[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.rows[key]
}

func (c *cache[T]) get(key string, raw []byte) (v T, ok bool) {
	d := c.peek(key)
	if d == nil || !bytes.Equal(d.raw, raw) {
		return v, false
	}
	return d.v, true
}

func (c *cache[T]) put(key string, raw []byte, v T) { c.keep(key, &decoded[T]{raw, v}) }

func (c *cache[T]) keep(key string, d *decoded[T]) {
	if len(d.raw) > cacheRow {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[string]*decoded[T]{}
	}
	c.remove(key)
	for k := range c.rows { // whichever comes first: a scan of everything must not push out all that is hot
		if len(c.rows) < cacheEntries && c.bytes+len(d.raw) <= cacheBytes {
			break
		}
		c.remove(k)
	}
	c.rows[key] = d
	c.bytes += len(d.raw)
}

func (c *cache[T]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
}

func (c *cache[T]) remove(key string) {
	if d := c.rows[key]; d != nil {
		c.bytes -= len(d.raw)
		delete(c.rows, key)
	}
}
