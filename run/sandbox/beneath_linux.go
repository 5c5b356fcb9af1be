package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// beneath opens a folder below another without following any link, nor out of it.
func beneath(root *os.File, dir string, flags uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), dir, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "openat2", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// look gives what a name in an open folder is, a link as itself. In no folder is nothing.
func look(dir *os.File, name string) (st unix.Stat_t, there bool) {
	if dir == nil {
		return st, false
	}
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err == nil
}

func isDir(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// modeOf is the mode as Go writes it.
func modeOf(st unix.Stat_t) fs.FileMode {
	m := fs.FileMode(st.Mode & 0o777)
	for bit, is := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if st.Mode&bit != 0 {
			m |= is
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFREG:
	default:
		m |= fs.ModeIrregular
	}
	return m
}

func identity(st unix.Stat_t) Below {
	return Below{Ino: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}
}

// moved compares identities across a rename, which is a change of a file's ctime.
func (b Below) moved(o Below) bool { return b.Ino == o.Ino && b.Size == o.Size && b.Mtime == o.Mtime }

// readlink gives a link's target.
func readlink(dir *os.File, name string) string {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// openFile opens a regular file, no link and nothing that blocks.
func openFile(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "openat", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return nil, &fs.PathError{Op: "openat", Path: name, Err: unix.EINVAL}
	}
	return f, nil
}

// sumOf is the SHA-256 of a file's bytes.
func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxTree is how many entries of a folder that goes are compared.
const maxTree = 200_000

// tree is a folder in its whole: a digest of who its entries are, and when the last of them changed.
type tree struct {
	hash   hash.Hash
	n      int
	latest int64 // ctime
}

// treeOf gives the digest of all in a folder, "?" where that cannot be told.
func treeOf(dir *os.File, name string) (digest string, latest int64) {
	t := &tree{hash: sha256.New()}
	if !t.add(dir, name, "") {
		return "?", t.latest
	}
	return hex.EncodeToString(t.hash.Sum(nil)), t.latest
}

func (t *tree) add(parent *os.File, name, at string) bool {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if t.n += len(names); err != nil || t.n > maxTree {
		return false
	}
	slices.Sort(names)
	for _, n := range names {
		st, there := look(dir, n)
		if !there {
			return false
		}
		who := identity(st)
		if isDir(st) {
			who.Size, who.Mtime = 0, 0 // what they tell the names do
		}
		t.latest = max(t.latest, who.Ctime)
		fmt.Fprintf(t.hash, "%q %o %d %d %d %d\n", at+"/"+n, st.Mode, who.Ino, who.Size, who.Mtime, who.Ctime)
		if isDir(st) && !t.add(dir, n, at+"/"+n) {
			return false
		}
	}
	return true
}
