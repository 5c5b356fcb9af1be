package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A run that has a user of its own sees the operator's folder as its own, and what it makes there belongs to the folder's owner: an idmapped
// mount. The map is that of a user namespace, which a child that does nothing else lends.

// mapper holds a namespace that maps inner, as on the disk, to outer, who the run is.
func (s *Sandbox) mapper(inner, outer owner) (*os.File, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	ctl, err := unixConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, err
	}
	defer ctl.Close()
	_ = ctl.SetReadDeadline(time.Now().Add(startTimeout))
	r := newRecipe()
	r.control()
	control := r.give(theirs)
	word := r.room(8)
	r.maps(inner, outer)
	r.tell(noteReady, control)
	r.call("die with the launcher", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	r.call("wait", unix.SYS_READ, control, word, 1)
	r.call("exit", unix.SYS_EXIT_GROUP, 0)
	ch, err := s.fork(r, newRequest(unix.CLONE_NEWUSER, outer, owner{}), control)
	if err != nil {
		return nil, err
	}
	defer ch.pidfd.Close()
	defer func() {
		_, _ = ch.signal(unix.SIGKILL, 0), ch.pidfd.SetReadDeadline(time.Now().Add(killWithin))
		ch.gone()
	}()
	b := make([]byte, noteSize+1)
	n, err := ctl.Read(b)
	if err != nil {
		return nil, err
	}
	if m, err := decodeNote(b[:n]); err != nil || m.kind != noteReady {
		return nil, errOr(err, unix.Errno(m.b))
	}
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", ch.pid))
}

// maps gives a namespace its one user and one group, from inside: whoever owns it outside may do that for itself.
func (r *recipe) maps(inner, outer owner) {
	r.call("dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0) // else its own files of /proc belong to root
	for _, m := range [][2]string{{"setgroups", "deny"}, {"gid_map", fmt.Sprintf("%d %d 1\n", inner.gid, outer.gid)}, {"uid_map", fmt.Sprintf("%d %d 1\n", inner.uid, outer.uid)}} {
		fd, what := r.cell(), "write "+m[0]
		r.call(what, unix.SYS_OPENAT, unix.AT_FDCWD, r.str("/proc/self/"+m[0]), unix.O_WRONLY|unix.O_CLOEXEC, 0).into(fd)
		r.call(what, unix.SYS_WRITE, fd, r.str(m[1]), len(m[1])).must(len(m[1]))
		r.call(what, unix.SYS_CLOSE, fd)
	}
}

// detach clones the mount of an open folder, without what is mounted below it.
func detach(f *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(f.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	runtime.KeepAlive(f)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// mapped is detach with identities translated.
func (s *Sandbox) mapped(o *opened, outer owner) (*os.File, error) {
	tree, err := detach(o.file)
	if err != nil {
		return nil, err
	}
	ns, err := s.mapper(o.ownerOf(), outer)
	if err == nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Userns_fd: uint64(ns.Fd())}
		err = unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH, &attr)
		_ = ns.Close()
	}
	if err != nil {
		_ = tree.Close()
		return nil, err
	}
	return tree, nil
}
