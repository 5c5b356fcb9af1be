package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxChanges bounds what one overlay may hold before it is only good for throwing away.
const maxChanges = 200_000

// difference is one layer against its folder.
type difference struct {
	upper *os.Root
	of    *layer
	known map[string]Change // what an earlier run's list said, by path
	list  []Change
}

// walk compares one folder of the layer with the one below it, nil where there is none. The command may have taken our rights to it: the layer is ours, so they are
// given back.
func (d *difference) walk(dir string, low *os.File) error {
	list, err := d.entries(dir)
	if err != nil {
		return err
	}
	if low != nil && opaque(d.upper, dir) {
		if err := d.hidden(dir, list, low); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := d.entry(path.Join(dir, e.Name()), e, low); err != nil {
			return err
		}
	}
	return nil
}

func (d *difference) entries(dir string) ([]fs.FileInfo, error) {
	f, err := d.upper.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		_ = d.upper.Chmod(dir, 0o700)
		f, err = d.upper.Open(dir)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.Readdir(-1)
	slices.SortFunc(list, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

// entry adds what one name of the layer means.
func (d *difference) entry(p string, info fs.FileInfo, low *os.File) error {
	below, there := look(low, info.Name())
	c := Change{Path: p, Kind: Added, Mode: info.Mode()}
	if there {
		c.Kind, c.Was, c.Below = Modified, modeOf(below), identity(below)
		c.Below.Unseen = c.Below.Ctime > d.of.Since
	}
	switch {
	case whiteout(d.upper, p, info):
		if !there {
			return nil
		}
		c.Kind, c.Mode, c.Dir = Removed, 0, isDir(below)
		return d.add(c, low)
	case info.IsDir():
		return d.folder(c, low)
	case info.Mode().IsRegular():
		c.Bytes = info.Size()
		sum, err := d.sum(p)
		if err != nil {
			return err
		}
		if c.Sum = sum; there && d.equal(c, low) {
			return nil
		}
		return d.add(c, low)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := d.upper.Readlink(p)
		if err != nil {
			return err
		}
		c.Target, c.Outside, c.Bytes = target, leadsOut(d.of.Workdir, p, target), int64(len(target))
		return d.add(c, low)
	}
	return nil // sockets, pipes and devices are nothing to keep
}

// folder adds a folder that is new or has other rights than the one below, and what is in it.
func (d *difference) folder(c Change, low *os.File) error {
	c.Dir, c.Below.Unseen = true, c.Below.Unseen && !c.Was.IsDir() // the ctime of a folder tells of other names in it
	var in *os.File
	if c.Was.IsDir() {
		f, err := beneath(low, path.Base(c.Path), unix.O_RDONLY)
		if err != nil {
			f, err = beneath(low, path.Base(c.Path), unix.O_PATH)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if in == nil || c.Mode.Perm()|0o700 != c.Was.Perm()|0o700 {
		if err := d.add(c, low); err != nil {
			return err
		}
	}
	return d.walk(c.Path, in)
}

// sum reads a file of the layer.
func (d *difference) sum(p string) (string, error) {
	f, err := openUpper(d.upper, p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sumOf(f)
}

// openUpper opens a regular file of the layer, whatever rights the command left us: the layer is ours.
func openUpper(upper *os.Root, p string) (*os.File, error) {
	const how = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := upper.OpenFile(p, how, 0)
	if errors.Is(err, fs.ErrPermission) {
		if st, serr := upper.Lstat(p); serr == nil && st.Mode().IsRegular() {
			_ = upper.Chmod(p, st.Mode().Perm()|0o400)
			f, err = upper.OpenFile(p, how, 0)
			_ = upper.Chmod(p, st.Mode().Perm())
		}
	}
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: p, Err: unix.EINVAL}
	}
	return f, nil
}

// equal tells whether a file only came to be in the layer: what it says, and who may do what with it, is what is below.
func (d *difference) equal(c Change, low *os.File) bool {
	if !c.Had() || !c.Was.IsRegular() || c.Mode != c.Was || c.Bytes != c.Below.Size {
		return false
	}
	f, err := openFile(low, path.Base(c.Path))
	if err != nil {
		return false
	}
	defer f.Close()
	sum, err := sumOf(f)
	return err == nil && sum == c.Sum
}

func (d *difference) add(c Change, low *os.File) error {
	if len(d.list) == maxChanges {
		return fault.Newf(fault.TooLarge, "the run changed more than %d paths of %s", maxChanges, quoted(d.of.Workdir)).WithNext("throw the changes away, or mount the folder rw")
	}
	if c.Was.IsDir() && !(c.Dir && c.Kind != Removed) { // it goes with all that is in it
		var latest int64
		c.Below.Tree, latest = treeOf(low, path.Base(c.Path))
		c.Below.Unseen = latest > d.of.Since
	}
	if k, ok := d.known[c.Path]; ok {
		c.Was, c.Below = k.Was, k.Below
		if c.Kind == Added && c.Had() {
			c.Kind = Modified
		} else if c.Kind == Modified && !c.Had() {
			c.Kind = Added
		}
	}
	c.Workdir = d.of.Workdir
	d.list = append(d.list, c)
	return nil
}

// hidden adds what an opaque folder covers without naming it.
func (d *difference) hidden(dir string, named []fs.FileInfo, low *os.File) error {
	names, err := low.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.ContainsFunc(named, func(i fs.FileInfo) bool { return i.Name() == name }) {
			continue
		}
		st, there := look(low, name)
		if !there {
			continue
		}
		c := Change{Path: path.Join(dir, name), Kind: Removed, Dir: isDir(st), Was: modeOf(st), Below: identity(st)}
		c.Below.Unseen = c.Below.Ctime > d.of.Since
		if err := d.add(c, low); err != nil {
			return err
		}
	}
	return nil
}

// leadsOut tells whether a link leads out of the working directory, or may: over a folder that is itself a link nobody knows where ".." leads.
func leadsOut(workdir, p, target string) bool {
	if path.IsAbs(target) {
		return path.Clean(target) != target || !within(target, workdir)
	}
	down := false
	for _, part := range strings.Split(target, "/") {
		if part == ".." && down {
			return true
		}
		down = down || part != ".." && part != "." && part != ""
	}
	at := path.Join("/", workdir, path.Dir(p), target)
	return !within(at, workdir)
}

// whiteout knows overlayfs's marks of a removed name: a device 0:0, or an attribute on an empty file.
func whiteout(root *os.Root, p string, info fs.FileInfo) bool {
	if info.Mode()&fs.ModeCharDevice != 0 {
		st, ok := info.Sys().(*syscall.Stat_t)
		return !ok || st.Rdev == 0
	}
	return info.Mode().IsRegular() && info.Size() == 0 && marked(root, p, "user.overlay.whiteout")
}

func opaque(root *os.Root, dir string) bool { return marked(root, dir, "user.overlay.opaque") }

// marked looks for an attribute. The overlay lets no command set one of its own names.
func marked(root *os.Root, p, name string) bool {
	f, err := root.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 16)
	n, err := unix.Fgetxattr(int(f.Fd()), name, b)
	return err == nil && n > 0 || err == unix.ERANGE
}
