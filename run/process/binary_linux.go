package process

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// highFD is above every descriptor that a child is given, so that placing those cannot overwrite the binary's.
const highFD = 512

// prepare gives the path by which the descriptor is executed. A script goes with the process as one more descriptor, after all others, and
// its interpreter is told to read that.
func (b *Binary) prepare(argv []string, files []*os.File) (string, []string, []*os.File, error) {
	program := b
	if b.script {
		program = b.interp
		head := []string{b.interp.path}
		if b.arg != "" {
			head = append(head, b.arg)
		}
		argv = append(append(head, fdPath(len(files))), argv[1:]...)
		files = append(files, b.file)
	}
	if err := program.raise(); err != nil {
		return "", nil, nil, err
	}
	return fdPath(int(program.file.Fd())), argv, files, nil
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// raise moves the descriptor up and keeps it close-on-exec: the kernel opens the program before it closes the descriptor.
func (b *Binary) raise() error {
	if b.file.Fd() >= highFD {
		return nil
	}
	fd, err := unix.FcntlInt(b.file.Fd(), unix.F_DUPFD_CLOEXEC, highFD)
	if err != nil {
		return err
	}
	old := b.file
	b.file = os.NewFile(uintptr(fd), b.path)
	return old.Close()
}

// sealable gives a memory file for a copy of the program.
func sealable(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fault.New(fault.DeliveryRefused, "this machine forbids programs in memory, and the pinned file can be rewritten by its owner",
			"a person makes root the owner of the file").Because(err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal forbids every change for good and gives the copy opened anew for reading only: a file still open for writing cannot be executed.
func seal(f *os.File) (*os.File, error) {
	defer f.Close()
	if err := f.Chmod(0o700); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	return os.Open(fdPath(int(f.Fd())))
}

// busy tells that another start, in the moment between its fork and its exec, still held the copy open for writing.
func busy(err error) bool { return errors.Is(err, unix.ETXTBSY) }
