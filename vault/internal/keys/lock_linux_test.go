package keys_test

import (
	"bytes"
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
	if secretMemory() {
		want = []string{"dd", "dc"} // no dump, not copied on fork
	}
	if mayLock(t) {
		want = append(want, "lo")
	}
	for _, f := range want {
		if !slices.Contains(flags, f) {
			t.Errorf("the page of the key lacks %q: %v", f, flags)
		}
	}
}

// secretMemory tells whether the kernel has it.
func secretMemory() bool {
	fd, err := unix.MemfdSecret(0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

// Nobody reads a key by /proc/PID/mem, not even who may read all other memory of the process, where the kernel has secret memory: there this reads it in vain, of
// itself, and finds what lies beside it.
func TestAttack21_KeysAreReadThroughTheKernelByNobody(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	look := func(b []byte) bool {
		got := make([]byte, len(b))
		n, err := mem.ReadAt(got, int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))))
		return err == nil && n == len(b) && bytes.Equal(got, b)
	}
	if !look([]byte("what lies in ordinary memory")) {
		t.Fatal("this test reads nothing at all")
	}
	r := keystest.Ring(t)
	var found bool
	if err := r.Wrap(keystest.ID, func(raw []byte) error { found = look(raw); return nil }); err != nil {
		t.Fatal(err)
	}
	if found && secretMemory() {
		t.Error("the key was read by /proc/self/mem")
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
