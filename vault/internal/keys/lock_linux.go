package keys

import "golang.org/x/sys/unix"

// lockedBlock gives n bytes outside the Go heap: never swapped, absent from core files, zero in a forked child. Where the system refuses
// (RLIMIT_MEMLOCK), each of these is given up by itself: a vault that does not open protects nobody.
func lockedBlock(n int) ([]byte, func()) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, n), func() {}
	}
	_ = unix.Mlock(b)
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	_ = unix.Madvise(b, unix.MADV_WIPEONFORK)
	return b, func() { _ = unix.Munmap(b) }
}
