package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// veil is how the test holds what it searches for, so that it does not find itself.
const veil = 0x5a

// copies counts how often a veiled word lies unveiled in this process's own writable memory.
func copies(t *testing.T, veiled []byte) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	b := make([]byte, 1<<20)
	own := uint64(uintptr(unsafe.Pointer(&b[0])))
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		for at := from; at < to; at += uint64(len(b) - len(veiled)) {
			got, _ := mem.ReadAt(b[:min(uint64(len(b)), to-at)], int64(at))
			for i := 0; i+len(veiled) <= got; i++ {
				next := bytes.IndexByte(b[i:got], veiled[0]^veil)
				if next < 0 || i+next+len(veiled) > got {
					break
				}
				i += next
				if here := at + uint64(i); here < own || here >= own+uint64(len(b)) {
					n += found(b[i:], veiled)
				}
			}
			clear(b)
		}
	}
	return n
}

func found(b, veiled []byte) int {
	for i, v := range veiled {
		if b[i]^veil != v {
			return 0
		}
	}
	return 1
}

// block is memory with a pointer, which Go keeps apart from memory without one.
type block[T any] struct {
	_ *block[T]
	b T
}

// litter leaves a word in memory that nobody uses any more, between what is used on: in objects of every size, with pointers and without.
func litter(veiled []byte) (live []any) {
	put := func(b []byte, n int) []byte {
		if n%5 != 0 {
			for i, v := range veiled {
				b[len(b)-len(veiled)+i] = v ^ veil
			}
		}
		return b
	}
	for size := len(veiled); size < 100_000; size += 8 + size/3 {
		for n := range 100 {
			if b := put(make([]byte, size), n); n%5 == 0 {
				live = append(live, b)
			}
		}
	}
	for n := range 500 {
		small, middle, large := &block[[40]byte]{}, &block[[400]byte]{}, &block[[9000]byte]{}
		put(small.b[:], n)
		put(middle.b[:], n)
		put(large.b[:], n)
		if n%5 == 0 {
			live = append(live, small, middle, large)
		}
	}
	return live
}

// Whoever made a copy and let it go: giveBack overwrites it, and what lives is as it was. What has become a part of a goroutine's stack meanwhile stays until that is used: a few of thousands.
func TestWhatIsFreeIsOverwritten(t *testing.T) {
	veiled := make([]byte, 24)
	if _, err := rand.Read(veiled); err != nil {
		t.Fatal(err)
	}
	live := litter(veiled)
	before := copies(t, veiled)
	if before < 1000 {
		t.Fatalf("%d copies were found of some thousands", before)
	}
	giveBack()
	if n := copies(t, veiled); n*100 > before {
		t.Errorf("of %d copies %d are left", before, n)
	}
	for _, x := range live {
		if b, ok := x.([]byte); ok && !bytes.Equal(b, make([]byte, len(b))) {
			t.Fatal("what was in use was written over")
		}
	}
	runtime.KeepAlive(live)
}
