package bolt

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes a file's bytes durable, and of its metadata what they need.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
