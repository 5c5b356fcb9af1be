package keys

import (
	"encoding/binary"
	"os"
	"testing"
	"unsafe"
)

const told = 0x5ec7e75ec7e75ec7

// tells leaves a word in frames that are gone when it returns, and gives an address at which it lay.
//
//go:noinline
func tells(depth int) uintptr {
	var frame [64]uint64
	for i := range frame {
		frame[i] = told
	}
	if depth > 0 {
		return tells(depth - 1)
	}
	return address(&frame)
}

//go:noinline
func address(f *[64]uint64) uintptr { return uintptr(unsafe.Pointer(&f[32])) }

// What a function left in frames that are gone is overwritten.
func TestNothingStaysInTheStackBelow(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	b := make([]byte, 8)
	read := func(at uintptr) uint64 {
		if _, err := mem.ReadAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
		return binary.NativeEndian.Uint64(b)
	}
	read(tells(20)) // the stack has its size, and stays where it is
	OverwriteStack()
	first := tells(20)
	OverwriteStack()
	again := tells(20)
	left := read(again)
	OverwriteStack()
	if gone := read(again); first != again || left != told || gone == told {
		t.Errorf("at %x, then at %x: %x, then %x", first, again, left, gone)
	}
}
