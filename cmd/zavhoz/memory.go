package main

import (
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// giveBack overwrites the memory that nothing uses any more: there lie copies of what was opened that nobody could wipe (of ciphers, decoders, net/http, the age library), and Go clears no memory
// before it is used again. What is free as a whole goes back to the system, which clears it; what is free between things that live on is taken, size for size, and so cleared. It collects twice
// before, for what net/http keeps for its next connection survives once, and it has one processor, for each would keep some pages at hand.
func giveBack() {
	processors := runtime.GOMAXPROCS(1)
	defer func() {
		if runtime.SetDefaultGOMAXPROCS(); runtime.GOMAXPROCS(0) != processors {
			runtime.GOMAXPROCS(processors)
		}
	}()
	percent := debug.SetGCPercent(-1) // a collection in between would free what was just taken
	defer debug.SetGCPercent(percent)
	runtime.GC()
	debug.FreeOSMemory()
	fill()
	debug.FreeOSMemory()
}

// What is taken of one size at a time, and how much that was not there before shows that nothing free of that size is left, in bytes.
const (
	batch = 32 << 10
	fresh = 64 << 10
)

// A page of Go's heap, in bytes, and more of them than a processor keeps at hand.
const (
	page   = 8 << 10
	atHand = 256
)

// largest is the largest object that shares its memory with others, in bytes: Go gives a larger one pages of its own.
const largest = 32 << 10

// Where what is taken goes, so that the compiler takes it from the heap.
var (
	takenBytes    []byte
	takenPointers []*byte
)

// fill takes everything that is free among objects, of every size and of both sorts: with pointers and without them. Whole pages come first: a processor keeps some at hand, which no collection gives
// back, and what is fetched fresh afterwards is of what the system has cleared.
func fill() {
	for range atHand {
		takenBytes = make([]byte, page)
	}
	for size := 0; size < largest; {
		size = cap(append([]byte(nil), make([]byte, size+1)...)) // of the next size that Go knows
		take(size, func() { takenBytes = make([]byte, size) })
		of := size
		if of > 512 {
			of -= 8 // Go's own header
		}
		take(size, func() { takenPointers = make([]*byte, of/8) })
	}
	runtime.KeepAlive(takenBytes)
	runtime.KeepAlive(takenPointers)
	takenBytes, takenPointers = nil, nil
}

// take makes objects of one size until Go fetches fresh memory for them.
func take(size int, one func()) {
	for from := inUse(); inUse() < from+fresh; {
		for range max(1, batch/size) {
			one()
		}
	}
}

// inUse is the memory in which objects lie, used or free, in bytes.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64()
}

// clearing gives connections that are read into cleared memory. net/http keeps what it reads into for the next request, and for the next connection; whoever waits there for something to come has
// then overwritten what came before.
type clearing struct{ net.Listener }

// Accept waits for the next connection.
func (l clearing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return clearingConn{c}, nil
}

type clearingConn struct{ net.Conn }

// Read clears p before it waits.
func (c clearingConn) Read(p []byte) (int, error) {
	clear(p)
	return c.Conn.Read(p)
}

// ReadFrom lets net/http write what is in memory as it is, past its buffers.
func (c clearingConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// under is the connection itself.
func under(c net.Conn) net.Conn {
	if x, ok := c.(clearingConn); ok {
		return x.Conn
	}
	return c
}
