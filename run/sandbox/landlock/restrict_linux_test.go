package landlock

import (
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights on files; the numbers of a ruleset's mask.
const (
	canReadFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	canRead     = canReadFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	canExec     = canRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	canDrive    = canRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// no device files are made, and none that lie about are driven
	canWrite = canRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE

	// what a rule on something that is no folder may say
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | canReadFile | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

const ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT

// Rules are what stays allowed, by absolute paths. One that does not exist, or that the user cannot reach, grants nothing; any other trouble with
// one refuses the whole. A tree includes what is mounted in it.
type Rules struct {
	Floor   int      // the least ABI that the caller accepts; below it restrict fails. 0 means 1
	Read    []string // files and trees that may be read. Symbolic links are followed: for the system's own
	Exec    []string // … read and executed. Symbolic links are followed
	Work    []string // … read and executed. A symbolic link anywhere in the path refuses: whoever may write beside it would choose the tree
	Write   []string // … read, changed, made, removed and renamed, not executed; no symbolic link, as with Work. In both lists: all of it
	Devices []string // device files, or trees of them: read, written, ioctl(2); no symbolic link
	Inodes  []int    // open descriptors, whose files may be read and executed: a checked binary, wherever it lies
	// DenyNet handles TCP (from ABI 4) and UDP (from ABI 10): only the ports below stay, of any address. Without it the network is left to others.
	DenyNet      bool
	ConnectPorts []uint16
	BindPorts    []uint16
}

var (
	ErrUnsupported = errors.New("landlock: this kernel has none")
	ErrFloor       = errors.New("landlock: this kernel's version is below the floor")
	ErrPath        = errors.New("landlock: a rule cannot be made of this path")
)

// restrict confines the calling thread, and all that it will start, for good. It sets no_new_privs. The caller has locked its goroutine to the
// thread. After an error nothing is confined.
func restrict(r Rules) error {
	abi := ABI()
	if abi == 0 {
		return ErrUnsupported
	}
	if abi < r.Floor {
		return fmt.Errorf("%w: %d, not %d", ErrFloor, abi, r.Floor)
	}
	set, err := newRuleset(Handled(abi, r.DenyNet))
	if err != nil {
		return err
	}
	defer unix.Close(set.fd)
	if err := set.fill(r); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("landlock: no_new_privs: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(set.fd), 0, 0); errno != 0 {
		return fmt.Errorf("landlock: the kernel does not enforce the rules: %w", errno)
	}
	return nil
}

// ruleset is one that is still open.
type ruleset struct {
	fd      int
	handled Attributes
}

func newRuleset(a Attributes) (ruleset, error) {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&a)), unsafe.Sizeof(a), 0)
	if errno != 0 {
		return ruleset{}, fmt.Errorf("landlock: the kernel takes no rules: %w", errno)
	}
	return ruleset{int(fd), a}, nil
}

func (s ruleset) fill(r Rules) error {
	for _, of := range []struct {
		paths  []string
		rights uint64
		links  bool
	}{{r.Read, canRead, true}, {r.Exec, canExec, true}, {r.Work, canExec, false}, {r.Write, canWrite, false}, {r.Devices, canDrive, false}} {
		for _, p := range of.paths {
			if err := s.path(p, of.rights, of.links); err != nil {
				return err
			}
		}
	}
	for _, fd := range r.Inodes {
		// a file in memory has no path to judge: it may be executed anyway
		if err := s.file(fd, canExec); err != nil && !errors.Is(err, unix.EBADFD) {
			return fmt.Errorf("%w: descriptor %d: %w", ErrPath, fd, err)
		}
	}
	for _, p := range r.ConnectPorts {
		if err := s.port(p, unix.LANDLOCK_ACCESS_NET_CONNECT_TCP|unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP); err != nil {
			return err
		}
	}
	for _, p := range r.BindPorts {
		if err := s.port(p, unix.LANDLOCK_ACCESS_NET_BIND_TCP|unix.LANDLOCK_ACCESS_NET_BIND_UDP); err != nil {
			return err
		}
	}
	return nil
}

// path grants rights on what the path names now.
func (s ruleset) path(p string, rights uint64, links bool) error {
	if !filepath.IsAbs(p) {
		return fmt.Errorf("%w: %q is not absolute", ErrPath, p)
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
	if !links {
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, p, &how)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %q: %w", ErrPath, p, err)
	}
	defer unix.Close(fd)
	if err := s.file(fd, rights); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrPath, p, err)
	}
	return nil
}

// file grants rights on an open file, and, if it is a folder, on all beneath it.
func (s ruleset) file(fd int, rights uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & s.handled.Files, Parent_fd: int32(fd)} // packed: the kernel reads its first 12 bytes
	return s.add(unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule))
}

func (s ruleset) port(port uint16, rights uint64) error {
	rights &= s.handled.Net
	if rights == 0 { // nothing is handled, so nothing need be granted
		return nil
	}
	rule := struct{ rights, port uint64 }{rights, uint64(port)}
	if err := s.add(ruleNetPort, unsafe.Pointer(&rule)); err != nil {
		return fmt.Errorf("landlock: port %d: %w", port, err)
	}
	return nil
}

func (s ruleset) add(kind uintptr, rule unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.fd), kind, uintptr(rule), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
