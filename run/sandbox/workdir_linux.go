package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// opened is a working directory that was looked at once: from then on the descriptor is the folder, whatever is put at its path.
type opened struct {
	Workdir
	file *os.File // O_PATH
	st   unix.Stat_t
}

// never are folders that cannot be a working directory, nor hold… one is let in below them where inside is true.
var never = []struct {
	path   string
	inside bool
}{{"/", true}, {"/bin", false}, {"/boot", false}, {"/dev", false}, {"/etc", false}, {"/home", true}, {"/lib", false}, {"/lib32", false}, {"/lib64", false}, {"/libx32", false},
	{"/media", true}, {"/mnt", true}, {"/nix", false}, {"/opt", true}, {"/proc", false}, {"/root", true}, {"/run", false}, {"/sbin", false}, {"/srv", true}, {"/sys", false},
	{"/tmp", true}, {"/usr", false}, {"/var", true}, {"/var/lib", true}, {"/var/run", false}, {"/var/tmp", true}, {"/home/agent", false}, {old, false}}

// checkWorkdir holds a path against the rules that need no look at the disk.
func (s *Sandbox) checkWorkdir(w Workdir) error {
	switch {
	case w.Mode != ReadOnly && w.Mode != ReadWrite && w.Mode != Overlay:
		return refused(w.Path, "has no mode ro, rw or overlay")
	case !filepath.IsAbs(w.Path) || filepath.Clean(w.Path) != w.Path || strings.ContainsAny(w.Path, "\x00\n") || len(w.Path) > 3000:
		return refused(w.Path, "is no absolute, clean path")
	case w.Mode == Overlay && strings.ContainsAny(w.Path, `,:\`):
		return refused(w.Path, `has "," ":" or "\" in its path, which an overlay cannot take`)
	}
	for _, n := range never {
		if w.Path == n.path || !n.inside && within(w.Path, n.path) {
			return refused(w.Path, "is, or lies in, a folder of the system")
		}
	}
	if s.folders.Within(w.Path) {
		return refused(w.Path, "is, holds or lies in a folder of zavhoz itself")
	}
	for _, p := range append(slices.Clone(s.o.Protected), s.o.TempDir) {
		p = filepath.Clean(p)
		if !filepath.IsAbs(p) || p == "/" {
			continue
		}
		if resolved, err := filepath.EvalSymlinks(p); err == nil {
			p = resolved
		}
		if within(p, w.Path) && p != filepath.Clean(os.TempDir()) || within(w.Path, p) && p != s.tempRoot() {
			return refused(w.Path, "is, holds or lies in a folder of zavhoz itself")
		}
	}
	return nil
}

// openWorkdir opens a folder without following any symbolic link on the way.
func (s *Sandbox) openWorkdir(w Workdir) (*opened, error) {
	if !w.ours {
		if err := s.checkWorkdir(w); err != nil {
			return nil, err
		}
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, w.Path, &how)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, refused(w.Path, "has a symbolic link in it").Because(err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return nil, refused(w.Path, "is no folder").Because(err)
	case err != nil:
		return nil, refused(w.Path, "cannot be opened").Because(err)
	}
	o := &opened{Workdir: w, file: os.NewFile(uintptr(fd), w.Path)}
	if err := unix.Fstat(fd, &o.st); err != nil {
		o.close()
		return nil, refused(w.Path, "cannot be opened").Because(err)
	}
	return o, nil
}

func (o *opened) close() { _ = o.file.Close() }

// openWorkdirs opens all of a Spec, outermost first, so that one inside another is mounted over it.
func (s *Sandbox) openWorkdirs(list []Workdir) (dirs []*opened, err error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Workdir) int { return len(a.Path) - len(b.Path) })
	for i, w := range list {
		if i > 0 && list[i-1].Path == w.Path {
			err = refused(w.Path, "is named twice")
		} else {
			var o *opened
			if o, err = s.openWorkdir(w); err == nil {
				dirs = append(dirs, o)
			}
		}
		if err != nil {
			closeAll(dirs)
			return nil, err
		}
	}
	return dirs, nil
}

func closeAll(dirs []*opened) {
	for _, o := range dirs {
		o.close()
	}
}

// again opens, in the child's own view, the path below the old root once more and makes sure that it is still the same folder.
func (r *recipe) again(o *opened, below string) cell {
	fd := r.cell()
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	what := whatWorkdir + o.Path
	r.call(what, unix.SYS_OPENAT2, unix.AT_FDCWD, r.str(below+o.Path), r.structure(how), 24).into(fd)
	const inode, device = 32, 136 // offsets of stx_ino and stx_dev_major, stx_dev_minor in struct statx
	got, want := r.room(256), r.room(16)
	dev := o.st.Dev
	r.at(want, 0, o.st.Ino)
	r.at(want, 8, []uint32{unix.Major(dev), unix.Minor(dev)})
	r.call(what, unix.SYS_STATX, fd, r.str(""), unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, got)
	r.same(what, got+inode, want, 8)
	r.same(what, got+device, want+8, 8)
	return fd
}

const whatWorkdir = "working directory "

// show makes a folder of the operator's visible at its own path.
func (b *builder) show(o *opened, detached *os.File) {
	attrs := uint64(unix.MOUNT_ATTR_NODEV)
	if o.Mode == ReadOnly {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	b.folder(o.Path) // in the skeleton or the scratch, or it is there already, in the working directory around it
	if detached != nil {
		b.place(whatWorkdir+o.Path, b.pass(detached), o.Path, attrs)
		return
	}
	b.place(whatWorkdir+o.Path, b.clone(o), o.Path, attrs)
}

// clone makes a detached mount of the folder, in the child's view.
func (b *builder) clone(o *opened) cell {
	fd, tree := b.again(o, old), b.cell()
	what := whatWorkdir + o.Path
	b.call(what, unix.SYS_OPEN_TREE, fd, b.str(""), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE).into(tree)
	b.call(what, unix.SYS_CLOSE, fd)
	return tree
}

// ownerOf gives who owns the folder on its disk.
func (o *opened) ownerOf() owner { return owner{o.st.Uid, o.st.Gid} }

// errnoOf finds the system's word in a chain.
func errnoOf(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}
