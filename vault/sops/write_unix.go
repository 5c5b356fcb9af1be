//go:build unix

package sops

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	openFlags = syscall.O_NONBLOCK | syscall.O_CLOEXEC
	noFollow  = syscall.O_NOFOLLOW
)

// held is a file that is locked, and the one that is to take its name. The lock is of the file, not of its name, and ends with it.
type held struct{ file, next *os.File }

func (h *held) release() {
	_ = h.file.Close()
	if h.next != nil {
		_ = h.next.Close()
	}
}

// claim locks the file that is to take the name, before it has it: whoever opens it there waits until its writer has looked at what it took away. The lock outlives f.
func (h *held) claim(f *os.File) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	h.next = os.NewFile(uintptr(fd), f.Name())
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
}

// letGo: nothing here minds that a file is open when another takes its name.
func (h *held) letGo() {}

// lock opens and locks the file of a name; nil if another holds it, or its name is another's by now.
func lock(path string) (*held, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags|noFollow, 0)
	if err != nil {
		return nil, unreadable(path, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		mine, err1 := f.Stat()
		named, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(mine, named) {
			return &held{file: f}, nil
		}
	}
	_ = f.Close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	return nil, noLock(path, err)
}

func rename(from, to string) error { return os.Rename(from, to) }

func links(st fs.FileInfo) uint64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// likeBefore gives the new file the old one's owner and mode; where it may not, the write fails rather than that the file changes hands.
func likeBefore(f *os.File, _ string, before fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	was, ok1 := before.Sys().(*syscall.Stat_t)
	is, ok2 := now.Sys().(*syscall.Stat_t)
	if ok1 && ok2 && (was.Uid != is.Uid || was.Gid != is.Gid) {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(before.Mode().Perm())
}

// syncFolder makes names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
