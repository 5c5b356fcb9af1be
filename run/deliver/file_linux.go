package deliver

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// file puts the value into a memory file that can no longer be changed, and gives the path by which the command that inherits it opens it. It
// never touches a disk (swap aside) and is gone with its last descriptor.
func (p *Parcel) file(o Options, it Item) (string, error) {
	fd, err := unix.MemfdCreate("zavhoz", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return "", fmt.Errorf("deliver: memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "zavhoz")
	p.Files = append(p.Files, f)
	if err := f.Chmod(0o600); err != nil {
		return "", fmt.Errorf("deliver: memory file: %w", err)
	}
	if _, err := f.Write(it.Value.Reveal()); err != nil {
		return "", fmt.Errorf("deliver: memory file: %w", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return "", fmt.Errorf("deliver: memory file: %w", err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return "", fmt.Errorf("deliver: memory file: %w", err)
	}
	return "/proc/self/fd/" + strconv.Itoa(o.First+len(p.Files)-1), nil
}
