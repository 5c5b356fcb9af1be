package sandbox

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// systemFiles are the box's own.
func systemFiles() []File { // no secrets: they travel in the recipe
	return []File{
		{Path: "/etc/passwd", Data: fmt.Appendf(nil, "root:x:0:0:root:/:/usr/sbin/nologin\n%s:x:%d:%d::%s:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n", agentName, agent.uid, agent.gid, agentHome)},
		{Path: "/etc/group", Data: fmt.Appendf(nil, "root:x:0:\n%s:x:%d:\nnogroup:x:65534:\n", agentName, agent.gid)},
		{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost sandbox\n::1 localhost\n")},
		{Path: "/etc/hostname", Data: []byte("sandbox\n")},
		{Path: "/etc/resolv.conf", Data: []byte("# names come from /etc/hosts alone\noptions timeout:1 attempts:1\n")},
		{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n")},
		{Path: "/etc/host.conf", Data: []byte("multi on\n")},
	}
}

// unnamed leaves out what a Spec has its own file for.
func unnamed(system, given []File) (rest []File) {
	for _, f := range system {
		if !slices.ContainsFunc(given, func(g File) bool { return g.Path == f.Path }) {
			rest = append(rest, f)
		}
	}
	return rest
}

func badFile(p, why string) error {
	return fault.Newf(fault.InvalidArgument, "the file %s %s", quoted(p), why)
}

func checkFiles(files []File, dirs []Workdir) error {
	seen := map[string]bool{}
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || strings.ContainsRune(f.Path, 0) {
			return badFile(f.Path, "has no absolute, clean path")
		}
		if seen[f.Path] {
			return badFile(f.Path, "is given twice")
		}
		seen[f.Path] = true
		for _, p := range []string{"/proc", "/dev", old} {
			if within(f.Path, p) {
				return badFile(f.Path, "cannot lie there")
			}
		}
		for _, w := range dirs {
			if within(f.Path, w.Path) {
				return badFile(f.Path, "would lie in a working directory of the operator's")
			}
		}
	}
	return nil
}

// own puts the box's own files into the skeleton.
func (b *builder) own(list []File) {
	for _, f := range list {
		fd := b.create(f.Path, f)
		b.call("fill "+f.Path, unix.SYS_WRITE, fd, b.bytes(f.Data), len(f.Data)).must(len(f.Data))
		b.call("close "+f.Path, unix.SYS_CLOSE, fd)
	}
}

// files puts contents into the root. They may hold true values of a pinned command, so they travel in a memory file and are copied by the kernel: no process of ours maps them. A file of the
// skeleton is read-only with it; elsewhere it is mounted over its place, so that a command which owns the folder cannot replace it.
func (b *builder) files(list []File, contents *os.File, from int) (err error) {
	at := int64(0)
	for i, f := range list {
		if len(f.Data) > 0 {
			if _, err := contents.WriteAt(f.Data, at); err != nil {
				return err
			}
		}
		under := b.covered(f.Path)
		p := f.Path
		if under != "" {
			p = scratchFile(i)
		}
		b.file(p, f, at, from)
		if under != "" {
			b.cover(p, f.Path, under)
		}
		at += int64(len(f.Data))
	}
	return nil
}

func scratchFile(i int) string { return "/.file" + itoa(i) }

// create makes the file p with f's mode.
func (b *builder) create(p string, f File) cell {
	mode := f.Mode & fs.ModePerm &^ 0o222
	if f.Mode == 0 {
		mode = 0o444
	}
	b.folder(path.Dir(p))
	fd := b.cell()
	b.call("make "+f.Path, unix.SYS_OPENAT, unix.AT_FDCWD, b.str(p), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, int(mode)).into(fd)
	b.call("open "+f.Path, unix.SYS_FCHMOD, fd, int(mode)) // whatever the umask
	return fd
}

// file makes p and fills it from the contents' place.
func (b *builder) file(p string, f File, at int64, from int) {
	fd := b.create(p, f)
	if len(f.Data) > 0 {
		off := b.room(8)
		b.at(off, 0, at)
		b.call("fill "+f.Path, unix.SYS_SENDFILE, fd, from, off, len(f.Data)).must(len(f.Data))
	}
	b.call("close "+f.Path, unix.SYS_CLOSE, fd)
}

// cover mounts the file at from over p, which lies in another mount, and takes its first name away.
func (b *builder) cover(from, p, under string) {
	if writable(under) {
		b.empty(p)
	}
	b.bind(from, p, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
	b.call("unlink "+from, unix.SYS_UNLINKAT, unix.AT_FDCWD, b.str(from), 0)
}

// writable tells whether a mount of the new root is memory of the box's own.
func writable(p string) bool {
	return p == agentHome || p == "/tmp" || p == "/run" || p == "/dev/shm"
}

// loopback brings lo up. A child with a network namespace of its own has nothing else.
func (r *recipe) loopback() {
	fd, req := r.cell(), r.room(40) // struct ifreq
	r.at(req, 0, []byte("lo"))
	r.at(req, 16, uint16(unix.IFF_UP|unix.IFF_RUNNING))
	r.call("loopback", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).into(fd)
	r.call("loopback up", unix.SYS_IOCTL, fd, unix.SIOCSIFFLAGS, req)
	r.call("close", unix.SYS_CLOSE, fd)
}

// loopbackOf reads where a listener is to be.
func loopbackOf(l Listen) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(l.Addr)
	if err != nil || !at.Addr().IsLoopback() || at.Addr().Is4In6() || at.Addr().Zone() != "" || at.Port() == 0 {
		return at, fault.Newf(fault.InvalidArgument, "a listener needs a loopback address and a port, not %s", quoted(l.Addr))
	}
	return at, nil
}

// listen makes a listener in the child's network namespace.
func (r *recipe) listen(l Listen) (cell, error) {
	at, err := loopbackOf(l)
	if err != nil {
		return 0, err
	}
	family, size := unix.AF_INET, 16
	sa, fd, one := r.room(28), r.cell(), r.room(4)
	port := []byte{byte(at.Port() >> 8), byte(at.Port())}
	r.at(one, 0, uint32(1))
	if ip := at.Addr(); ip.Is4() {
		a := ip.As4()
		r.at(sa, 4, a[:])
	} else {
		family, size = unix.AF_INET6, 28
		a := ip.As16()
		r.at(sa, 8, a[:])
	}
	r.at(sa, 0, uint16(family))
	r.at(sa, 2, port)
	what := "listen at " + l.Addr
	r.call(what, unix.SYS_SOCKET, family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).into(fd)
	r.call(what, unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, one, 4)
	r.call(what, unix.SYS_BIND, fd, sa, size)
	r.call(what, unix.SYS_LISTEN, fd, 1024)
	return fd, nil
}

// tell sends a note with descriptors, whose cells are read when it is sent.
func (r *recipe) tell(kind int, control int, fds ...cell) {
	body, vec, head := r.room(noteSize), r.room(16), r.room(56) // struct iovec, struct msghdr
	r.at(body, 0, uint32(kind))
	r.at(vec, 0, []uint64{uint64(body), noteSize})
	r.at(head, 16, []uint64{uint64(vec), 1})
	if len(fds) > 0 {
		length := unix.CmsgLen(4 * len(fds))
		ctl := r.room(unix.CmsgSpace(4 * len(fds)))
		r.at(ctl, 0, uint64(length))
		r.at(ctl, 8, []uint32{unix.SOL_SOCKET, unix.SCM_RIGHTS})
		for i, fd := range fds {
			r.set(cell(int(ctl)+16+4*i), fd)
		}
		r.at(head, 32, []uint64{uint64(ctl), uint64(length)})
	}
	r.call("send a note", unix.SYS_SENDMSG, control, head, unix.MSG_NOSIGNAL)
}
