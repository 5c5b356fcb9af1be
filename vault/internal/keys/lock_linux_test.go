package keys_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

// The page of a data key is not swapped, not in a core file, and empty in a forked child. Where the system locks nothing for anybody, the lock is
// given up, and only the lock.
func TestAttack25_KeysLieInLockedMemory(t *testing.T) {
	r := keystest.Ring(t)
	var flags []string
	err := r.Wrap(keystest.ID, func(raw []byte) error {
		flags = pageFlags(t, uintptr(unsafe.Pointer(unsafe.SliceData(raw))))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dd", "wf"} // no dump, wiped on fork
	if mayLock(t) {
		want = append(want, "lo")
	}
	for _, f := range want {
		if !slices.Contains(flags, f) {
			t.Errorf("the page of the key lacks %q: %v", f, flags)
		}
	}
}

// mayLock tells whether this process may lock a page at all.
func mayLock(t *testing.T) bool {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	return unix.Mlock(b) == nil
}

// pageFlags gives the kernel's flags of the mapping that holds an address.
func pageFlags(t *testing.T, addr uintptr) []string {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	here := false
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			here = from <= addr && addr < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && here {
			return strings.Fields(flags)
		}
	}
	t.Fatal("no mapping holds the key")
	return nil
}
