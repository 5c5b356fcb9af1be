package sandbox

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// sealedCopy copies a program into a memory file that anybody who holds it may read and execute and nobody can change.
func sealedCopy(f *os.File) (*os.File, error) {
	fd, err := unix.MemfdCreate("zavhoz-program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("zavhoz-program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	w := os.NewFile(uintptr(fd), "program")
	defer w.Close()
	st, err := f.Stat()
	if err == nil {
		_, err = io.Copy(w, io.NewSectionReader(f, 0, st.Size()))
	}
	if err == nil {
		err = w.Chmod(0o555)
	}
	if err == nil {
		_, err = unix.FcntlInt(w.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, err
	}
	return os.Open("/proc/self/fd/" + itoa(int(w.Fd()))) // anew, for reading: what is open for writing cannot be executed
}
