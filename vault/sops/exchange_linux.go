package sops

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange gives two files each other's name at once. errors.ErrUnsupported where the file system cannot.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) { // what a file system says that does not know the flag
		return errors.ErrUnsupported
	}
	return err
}
