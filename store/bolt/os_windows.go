package bolt

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// lockOffset is the byte far past any data that is locked; bbolt locks the one after it, and a second lock of the same byte would
// be refused even to the same handle.
const lockOffset = 0xFFFFFFFE

// tryLock locks one byte of the file.
func tryLock(f *os.File, exclusive bool) (held bool, err error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := &windows.Overlapped{Offset: lockOffset, OffsetHigh: 0xFFFFFFFF}
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// mapFile maps the first size bytes for reading.
func mapFile(f *os.File, size int) (mem []byte, unmap func(), err error) {
	h, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, uint32(uint64(size)>>32), uint32(size), nil)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	addr, err := windows.MapViewOfFile(h, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err != nil {
		return nil, nil, err
	}
	base := *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	return unsafe.Slice((*byte)(base), size), func() { _ = windows.UnmapViewOfFile(addr) }, nil
}

// syncDir: NTFS keeps names in its journal; folders cannot be flushed.
func syncDir(string) error { return nil }

// diskFull tells whether a write failed for want of space or quota.
func diskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
