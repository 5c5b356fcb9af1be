//go:build linux || darwin

package private

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errTaken is a folder that a sweep has taken between its making and its lock.
var errTaken = errors.New("private: the folder was swept away")

// hold opens the folder and locks it: while this process lives, nobody sweeps it. The lock goes with the last descriptor, and no child inherits ours.
func hold(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = lock(f, unix.LOCK_SH); err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err == nil && st.Nlink == 0 {
		err = errTaken
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func lock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// Sweep removes what processes of this user that are gone left in dir, the system's folder for temporary files where it is "".
func Sweep(dir string) error {
	if dir == "" {
		dir = os.TempDir()
	}
	top, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer top.Close()
	names, err := top.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			err = errors.Join(err, sweep(top, name))
		}
	}
	return err
}

// sweep removes one, if it is ours and nobody holds it. In a folder that everybody writes to the name may be anything.
func sweep(top *os.File, name string) error {
	fd, err := unix.Openat(int(top.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // no folder, a link, another user's, or gone meanwhile
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || int(st.Uid) != os.Geteuid() || lock(f, unix.LOCK_EX) != nil { // its maker lives
		return nil
	}
	return remove(top, name)
}

// Remove removes a folder with all that is in it, whatever rights and however deep. One that is not there is no error.
func Remove(dir string) error {
	parent, name := splitPath(dir)
	top, err := os.OpenFile(parent, unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer top.Close()
	return remove(top, name)
}

func splitPath(dir string) (parent, name string) {
	dir = strings.TrimRight(dir, "/")
	i := strings.LastIndexByte(dir, '/')
	switch i {
	case -1:
		return ".", dir
	case 0:
		return "/", dir[1:]
	}
	return dir[:i], dir[i+1:]
}
