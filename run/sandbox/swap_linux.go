package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

// kept is the rights that a change's file or folder gets.
func kept(c Change) fs.FileMode {
	if c.Dir {
		return c.Mode.Perm() | 0o700
	}
	return c.Mode.Perm()
}

// apply makes one change in the real folder. What it gives says that something happened to the path at this moment; then the path is as that left it.
func (k *keeper) apply(c Change) (Happening, error) {
	dir, err := k.parent(path.Dir(c.Path))
	if err != nil {
		if c.Kind == Removed && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) {
			return "", nil
		}
		return "", err
	}
	defer dir.Close()
	name := path.Base(c.Path)
	if k.done(dir, name, c) {
		return "", k.tidy(dir, c)
	}
	switch {
	case c.Kind == Removed:
		return k.remove(dir, name, c)
	case c.Dir && c.Was.IsDir():
		if f, err := beneath(dir, name, unix.O_RDONLY); err == nil {
			defer f.Close()
			return "", f.Chmod(kept(c))
		}
	}
	temp, err := k.stage(dir, c)
	if err != nil {
		return "", err
	}
	what, err := k.put(dir, temp, name, c)
	if what != "" || err != nil {
		_ = removeAt(dir, temp)
	}
	return what, err
}

// parent opens the folder that a change is in. With force one that is gone is made again.
func (k *keeper) parent(p string) (*os.File, error) {
	dir, err := beneath(k.lower, p, unix.O_PATH)
	if err == nil || !k.force || !errors.Is(err, unix.ENOENT) {
		return dir, err
	}
	above, err := k.parent(path.Dir(p))
	if err != nil {
		return nil, err
	}
	defer above.Close()
	if err := unix.Mkdirat(int(above.Fd()), path.Base(p), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, err
	}
	if err := k.own(above, path.Base(p)); err != nil {
		return nil, err
	}
	return beneath(k.lower, p, unix.O_PATH)
}

// own gives what was made to the folder's owner, where we are somebody else.
func (k *keeper) own(dir *os.File, name string) error {
	if !k.s.ids.choose {
		return nil
	}
	return unix.Fchownat(int(dir.Fd()), name, int(k.of.UID), int(k.of.GID), unix.AT_SYMLINK_NOFOLLOW)
}

// unfinished is the mode of a file that is being copied.
const unfinished = 0o200

// stage makes what the run made, beside its place.
func (k *keeper) stage(dir *os.File, c Change) (string, error) {
	temp, err := k.free(dir, c)
	if err != nil {
		return "", err
	}
	fd := int(dir.Fd())
	switch {
	case c.Dir:
		err = unix.Mkdirat(fd, temp, 0o700)
	case c.Sum == "":
		err = unix.Symlinkat(c.Target, fd, temp)
	default:
		err = k.copyTo(dir, temp, c)
	}
	if err == nil && c.Sum == "" {
		if err = k.own(dir, temp); err == nil && c.Dir {
			var f *os.File
			if f, err = beneath(dir, temp, unix.O_RDONLY); err == nil {
				err = errors.Join(f.Chmod(kept(c)), f.Close())
			}
		}
	}
	if err != nil {
		_ = removeAt(dir, temp)
	}
	return temp, err
}

// tidy removes what a keep that was killed left beside what it had done.
func (k *keeper) tidy(dir *os.File, c Change) error {
	if c.Had() && c.Was.IsDir() {
		if err := removeAt(dir, k.temp+gone); err != nil {
			return err
		}
	}
	_, err := k.free(dir, c)
	return err
}

// gone ends the name of a folder that was looked at and is being removed.
const gone = ".gone"

// takeAway removes what was to go, under a name that tells a later keep so: a folder takes a while.
func (k *keeper) takeAway(dir *os.File, temp string) error {
	if st, there := look(dir, temp); there && isDir(st) {
		if err := unix.Renameat2(int(dir.Fd()), temp, int(dir.Fd()), temp+gone, unix.RENAME_NOREPLACE); err == nil {
			temp += gone
		}
	}
	return removeAt(dir, temp)
}

// free gives a name that nothing has, after what a keep that was killed left under it. What is not known as ours, or as the file that was to go, stays.
func (k *keeper) free(dir *os.File, c Change) (string, error) {
	for i := range 16 {
		name := k.temp
		if i > 0 {
			name += "-" + itoa(i)
		}
		st, there := look(dir, name)
		mode := modeOf(st)
		if !there {
			return name, nil
		}
		if mode.IsRegular() && mode.Perm() == unfinished || c.Had() && c.Was.IsRegular() && mode.IsRegular() && c.Below.moved(identity(st)) || k.done(dir, name, c) {
			if removeAt(dir, name) == nil {
				return name, nil
			}
		}
	}
	return "", unix.EEXIST
}

// copyTo copies a file out of the layer, and makes sure that it is the one that was listed.
func (k *keeper) copyTo(dir *os.File, temp string, c Change) error {
	src, err := openUpper(k.upper, c.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, unfinished)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), temp)
	h := sha256.New()
	_, err = io.Copy(dst, io.TeeReader(io.LimitReader(src, c.Bytes+1), h))
	if err == nil && hex.EncodeToString(h.Sum(nil)) != c.Sum {
		err = tampered(c)
	}
	if err == nil {
		err = k.own(dir, temp)
	}
	if st, serr := src.Stat(); err == nil && serr == nil {
		at := unix.NsecToTimespec(st.ModTime().UnixNano())
		err = unix.UtimesNanoAt(int(dir.Fd()), temp, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil {
		err = dst.Chmod(kept(c)) // last: until then it is known as unfinished
	}
	return errors.Join(err, dst.Close())
}

// put brings what was staged to its place. What was there is taken away by the same step, looked at, and brought back if it is not what was to go: whatever a
// person's editor does at this moment, its file is not lost.
func (k *keeper) put(dir *os.File, temp, name string, c Change) (Happening, error) {
	if !k.force {
		if what := k.at(dir, name, c); what != "" {
			return what, nil
		}
	}
	fd := int(dir.Fd())
	err := unix.Renameat2(fd, temp, fd, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		err = unix.Renameat2(fd, temp, fd, name, unix.RENAME_EXCHANGE)
		if err == nil {
			return k.displaced(dir, temp, name, c)
		}
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that has only the plain one
		if c.Was.IsDir() || c.Dir {
			if err := removeAt(dir, name); err != nil {
				return "", err
			}
		}
		err = unix.Renameat(fd, temp, fd, name)
	}
	return "", err
}

// displaced looks at what an exchange took away: it goes if it is what was to go.
func (k *keeper) displaced(dir *os.File, temp, name string, c Change) (Happening, error) {
	if what := k.other(dir, temp, c); what != "" && !k.force {
		fd := int(dir.Fd())
		if err := unix.Renameat2(fd, temp, fd, name, unix.RENAME_EXCHANGE); err != nil {
			return "", err
		}
		return what, nil
	}
	return "", k.takeAway(dir, temp)
}

// other tells whether what was taken away is something else than what was to go.
func (k *keeper) other(dir *os.File, temp string, c Change) Happening {
	now, there := look(dir, temp)
	switch {
	case !there || !c.Had():
		return HappenedAppear
	case modeOf(now).Type() != c.Was.Type():
		return HappenedType
	case c.Was.IsDir():
		return k.tree(dir, temp, c)
	case !c.Below.moved(identity(now)):
		return HappenedChange
	}
	return ""
}

// remove takes a path away, looks at it, and brings it back if it is not what was to go.
func (k *keeper) remove(dir *os.File, name string, c Change) (Happening, error) {
	if !k.force {
		if what := k.at(dir, name, c); what != "" {
			return what, nil
		}
	}
	temp, err := k.free(dir, c)
	if err != nil {
		return "", err
	}
	fd := int(dir.Fd())
	err = unix.Renameat2(fd, name, fd, temp, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "", nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return "", removeAt(dir, name)
	case err != nil:
		return "", err
	}
	if what := k.other(dir, temp, c); what != "" && !k.force {
		return what, unix.Renameat2(fd, temp, fd, name, unix.RENAME_NOREPLACE)
	}
	return "", k.takeAway(dir, temp)
}

// removeAt removes a name in an open folder with all that is in it. It follows no link.
func removeAt(dir *os.File, name string) error {
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if strings.ContainsRune(name, '/') {
		return unix.EINVAL
	}
	root, err := os.OpenRoot("/proc/self/fd/" + itoa(int(dir.Fd()))) // that very folder
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(name)
}
