package sandbox

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// systemFolders are what a command needs of the machine to run at all. Nobody's home, no sockets (/run), no devices, no settings of the operator's.
var systemFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"}

// systemSettings are the harmless ones.
var systemSettings = []string{"/etc/alternatives", "/etc/crypto-policies", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/etc/os-release", "/etc/perl",
	"/etc/pki", "/etc/protocols", "/etc/python3", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/timezone"}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// old is where the machine's own root hangs while the new one is built.
const old = "/.old"

// The one writable memory of a box is mounted below the old root, and its folders are bound to their places: one size bounds all, and it goes out of
// sight together with the old root. Each unmounting of its own would cost a grace period of the kernel's.

// builder makes the steps of a root of one's own.
type builder struct {
	*recipe
	scratch string          // where the box's memory is mounted while the root is built
	made    map[string]bool // folders that exist in the new root
	covers  []string        // where something else than the skeleton begins
}

// begin turns the process into one whose root is an empty file system in memory, with the old one below it. Everything is private from here on.
func (b *builder) begin(bytes int) {
	b.call("make mounts private", unix.SYS_MOUNT, 0, b.str("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	at := firstFolder("/tmp", "/run", "/var", "/mnt")
	b.scratch = old + firstFolder("/sys", "/run", "/boot") // nothing there is needed, nor may be a working directory
	opts := "mode=0755,nr_inodes=16384,size=" + itoa(bytes+(8<<20))
	b.call("mount a root", unix.SYS_MOUNT, b.str("zavhoz"), b.str(at), b.str("tmpfs"), unix.MS_NOSUID|unix.MS_NODEV, b.str(opts))
	b.call("make the place of the old root", unix.SYS_MKDIRAT, unix.AT_FDCWD, b.str(at+old), 0o700)
	b.call("pivot_root", unix.SYS_PIVOT_ROOT, b.str(at), b.str(at+old))
	b.call("enter the root", unix.SYS_CHDIR, b.str("/"))
}

// firstFolder is one to mount on: what is covered for a moment is so in the child's own view.
func firstFolder(candidates ...string) string {
	for _, p := range candidates {
		if st, err := os.Lstat(p); err == nil && st.IsDir() {
			return p
		}
	}
	return "/usr"
}

// finish takes the old root away and makes the skeleton read-only.
func (b *builder) finish() {
	b.call("leave the old root", unix.SYS_UMOUNT2, b.str(old), unix.MNT_DETACH)
	b.call("remove its place", unix.SYS_UNLINKAT, unix.AT_FDCWD, b.str(old), unix.AT_REMOVEDIR)
	b.call("make the root read-only", unix.SYS_MOUNT, 0, b.str("/"), 0, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, 0)
}

// folder makes p and what is above it.
func (b *builder) folder(p string) {
	if p == "/" || b.made[p] {
		return
	}
	b.folder(path.Dir(p))
	b.made[p] = true
	b.call("make "+p, unix.SYS_MKDIRAT, unix.AT_FDCWD, b.str(p), 0o755).unless(unix.EEXIST)
}

func (b *builder) link(target, p string) {
	b.folder(path.Dir(p))
	b.made[p] = true
	b.call("link "+p, unix.SYS_SYMLINKAT, b.str(target), unix.AT_FDCWD, b.str(p))
}

// empty makes a file to mount on.
func (b *builder) empty(p string) {
	b.folder(path.Dir(p))
	fd := b.cell()
	b.call("make "+p, unix.SYS_OPENAT, unix.AT_FDCWD, b.str(p), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o444).into(fd)
	b.call("close "+p, unix.SYS_CLOSE, fd)
}

// shown is one thing of the machine's that every box sees.
type shown struct {
	path, link string // link: what it leads to, where it is one
	dir        bool
}

// systems remembers what there is, as long as the folders that hold it have not changed.
type systems struct {
	mu    sync.Mutex
	stamp string
	list  []shown
}

func (s *systems) look() []shown {
	stamp := ""
	for _, p := range []string{"/", "/etc", "/etc/ssl", "/nix"} {
		if st, err := os.Stat(p); err == nil {
			stamp += st.ModTime().String()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil || s.stamp != stamp {
		s.stamp, s.list = stamp, lookAtSystem()
	}
	return s.list
}

func lookAtSystem() (list []shown) {
	java, _ := filepath.Glob("/etc/java*") // a JVM's settings are links to here
	for _, p := range slices.Concat(systemFolders, systemSettings, java) {
		st, err := os.Lstat(p)
		if err != nil {
			continue
		}
		x := shown{path: p, dir: st.IsDir()}
		if st.Mode()&os.ModeSymlink != 0 {
			if x.link, err = os.Readlink(p); err != nil {
				continue
			}
		}
		if x.link != "" || x.dir || st.Mode().IsRegular() {
			list = append(list, x)
		}
	}
	return list
}

// system shows the machine's programs and libraries, read-only, at their places; what is a link there is a link here.
func (b *builder) system(list []shown) {
	for _, x := range list {
		switch {
		case x.link != "":
			b.link(x.link, x.path)
			continue
		case x.dir:
			b.folder(x.path)
		default:
			b.empty(x.path)
		}
		b.bind(old+x.path, x.path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
	}
}

// bind clones the mount at from, with all below, restricts it, and only then lets it be seen.
func (b *builder) bind(from, to string, attrs uint64) {
	fd := b.cell()
	b.call("clone "+to, unix.SYS_OPEN_TREE, unix.AT_FDCWD, b.str(from), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW).into(fd)
	b.place("mount "+to, fd, to, attrs)
}

// place attaches a detached mount. A bind keeps what its source forbids, and adds to it.
func (b *builder) place(what string, fd any, to string, attrs uint64) {
	a := unix.MountAttr{Attr_set: attrs | unix.MOUNT_ATTR_NOSUID}
	b.call(what, unix.SYS_MOUNT_SETATTR, fd, b.str(""), unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, b.structure(a), unix.MOUNT_ATTR_SIZE_VER0)
	b.call(what, unix.SYS_MOVE_MOUNT, fd, b.str(""), unix.AT_FDCWD, b.str(to), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	b.call(what, unix.SYS_CLOSE, fd)
	b.covers = append(b.covers, to)
}

// memory makes the writable places.
func (b *builder) memory(bytes int) {
	opts := "mode=0755,nr_inodes=262144,size=" + itoa(bytes)
	b.call("mount the scratch", unix.SYS_MOUNT, b.str("zavhoz-scratch"), b.str(b.scratch), b.str("tmpfs"), unix.MS_NOSUID|unix.MS_NODEV, b.str(opts))
	for i, p := range []struct {
		at   string
		mode int
	}{{"/tmp", 0o1777}, {"/dev/shm", 0o1777}, {"/run", 0o755}, {agentHome, 0o700}} {
		from := b.scratch + "/" + itoa(i)
		b.call("make "+p.at, unix.SYS_MKDIRAT, unix.AT_FDCWD, b.str(from), p.mode)
		b.call("open "+p.at, unix.SYS_FCHMODAT, unix.AT_FDCWD, b.str(from), p.mode) // whatever the umask
		b.folder(p.at)
		b.call("bind "+p.at, unix.SYS_MOUNT, b.str(from), b.str(p.at), 0, unix.MS_BIND, 0)
		b.covers = append(b.covers, p.at)
	}
	b.folder("/var")
	b.link("/tmp", "/var/tmp")
	b.link("/run", "/var/run")
}

// kernel shows the processes of the box, and the few devices.
func (b *builder) kernel(terminal bool) {
	b.folder("/proc")
	b.call("mount /proc", unix.SYS_MOUNT, b.str("proc"), b.str("/proc"), b.str("proc"), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, b.str("hidepid=2"))
	b.covers = append(b.covers, "/proc")
	for _, p := range devices {
		if _, err := os.Lstat(p); err == nil {
			b.empty(p)
			b.call("bind "+p, unix.SYS_MOUNT, b.str(old+p), b.str(p), 0, unix.MS_BIND, 0)
		}
	}
	for _, l := range [][2]string{{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
		{"/proc/self/mounts", "/etc/mtab"}} {
		b.link(l[0], l[1])
	}
	if terminal {
		b.folder("/dev/pts")
		b.call("mount /dev/pts", unix.SYS_MOUNT, b.str("devpts"), b.str("/dev/pts"), b.str("devpts"), unix.MS_NOSUID|unix.MS_NOEXEC, b.str("newinstance,ptmxmode=0666,mode=620"))
		b.link("pts/ptmx", "/dev/ptmx")
	}
}

// covered tells under which mount of the new root p lies, "" for the skeleton.
func (b *builder) covered(p string) (under string) {
	for _, c := range b.covers {
		if (p == c || strings.HasPrefix(p, c+"/")) && len(c) > len(under) {
			under = c
		}
	}
	return under
}

func (r *recipe) structure(v any) addr {
	switch s := v.(type) {
	case unix.MountAttr:
		a := r.room(32)
		r.at(a, 0, []uint64{s.Attr_set, s.Attr_clr, s.Propagation, s.Userns_fd})
		return a
	case unix.OpenHow:
		a := r.room(24)
		r.at(a, 0, []uint64{s.Flags, s.Mode, s.Resolve})
		return a
	}
	panic("sandbox: no such structure")
}
