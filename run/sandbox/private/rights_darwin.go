package private

import (
	"os"

	"golang.org/x/sys/unix"
)

// giveRights lets us into a folder; a link in its place is not followed.
func giveRights(in *os.File, name string) error {
	return unix.Fchmodat(int(in.Fd()), name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
