package keys

import "golang.org/x/sys/unix"

// lockedBlock gives n bytes outside the Go heap: never swapped, absent from core files, absent from a forked child. Where the kernel has it the block is secret
// memory (memfd_secret, Linux 5.14), which the kernel takes out of its own map: not even root reads it by /proc/PID/mem, and no hibernation writes it, for there is
// none while such memory is in use. Else it is locked. What the system refuses (RLIMIT_MEMLOCK) is given up by itself: a vault that does not open protects nobody.
func lockedBlock(n int) ([]byte, func()) {
	b, ok := secretBlock(n)
	if !ok {
		var err error
		if b, err = unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			return make([]byte, n), func() {}
		}
		_ = unix.Mlock(b)
		_ = unix.Madvise(b, unix.MADV_WIPEONFORK)
	}
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	return b, func() { _ = unix.Munmap(b) }
}

// secretBlock gives a block of secret memory, which a forked child has not.
func secretBlock(n int) ([]byte, bool) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC) // not FD_CLOEXEC, whatever its manual page says
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	if unix.Ftruncate(fd, int64(n)) != nil {
		return nil, false
	}
	b, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, false
	}
	if unix.Madvise(b, unix.MADV_DONTFORK) != nil {
		_ = unix.Munmap(b)
		return nil, false
	}
	return b, true
}
