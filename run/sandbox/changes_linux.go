package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxChanges bounds what one overlay may hold before it is only good for throwing away.
const maxChanges = 200_000

// Changes lists what the overlay working directories gained and lost, parents before what is in them. No link is followed on the way.
func (b *Box) Changes() ([]Change, error) {
	b.mu.Lock()
	layers := slices.Clone(b.layers)
	b.mu.Unlock()
	all := []Change{}
	for _, l := range layers {
		err := b.compare(l, func(d *difference) error {
			for _, c := range d.list {
				all = append(all, c.Change)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// difference is one layer against its folder.
type difference struct {
	upper, lower *os.Root
	workdir      string
	list         []change
}

// change is a Change with what Keep needs.
type change struct {
	Change
	info    fs.FileInfo // in the layer; nil where removed
	replace bool        // what is there now is of another kind: it goes first
}

// compare opens both sides and gives their difference to use.
func (b *Box) compare(l *layer, use func(*difference) error) error {
	o, err := b.s.openWorkdir(l.Workdir)
	if err != nil {
		return err
	}
	defer o.close()
	if o.st.Dev != l.st.Dev || o.st.Ino != l.st.Ino {
		return refused(l.Path, "was replaced by another since the run began")
	}
	lower, err := os.OpenRoot("/proc/self/fd/" + itoa(int(o.file.Fd()))) // that very folder
	if err != nil {
		return refused(l.Path, "cannot be read").Because(err)
	}
	defer lower.Close()
	upper, err := os.OpenRoot(l.upper())
	if err != nil {
		return internal("read the layer", err)
	}
	defer upper.Close()
	for left := layerTries; ; left-- {
		d := &difference{upper: upper, lower: lower, workdir: l.Path}
		err := d.walk(".")
		if err == nil {
			return use(d)
		}
		var f *fault.Error
		if errors.As(err, &f) {
			return err
		}
		if left == 0 {
			return internal("read the layer", err)
		}
		time.Sleep(layerPause)
	}
}

// How often, and how far apart, a layer is read anew where it changed under the reading: what the file system still moves after the last process has ended.
const (
	layerTries = 4
	layerPause = 25 * time.Millisecond
)

// walk compares one folder of the layer. The command may have taken our rights to it: the layer is ours, so they are given back.
func (d *difference) walk(dir string) error {
	list, err := d.entries(dir)
	if err != nil {
		return err
	}
	if opaque(d.upper, dir) {
		if err := d.hidden(dir, list); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := d.entry(path.Join(dir, e.Name()), e); err != nil {
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
	slices.SortFunc(list, func(a, b fs.FileInfo) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return list, err
}

// entry adds what one name of the layer means.
func (d *difference) entry(p string, info fs.FileInfo) error {
	below, err := d.lower.Lstat(p)
	there := err == nil
	switch {
	case whiteout(d.upper, p, info):
		if there {
			return d.add(change{Change: Change{Path: p, Kind: Removed, Dir: below.IsDir()}})
		}
		return nil
	case info.IsDir():
		if !there || !below.IsDir() {
			if err := d.add(change{Change: Change{Path: p, Kind: kindOf(there), Dir: true}, info: info, replace: there}); err != nil {
				return err
			}
		}
		return d.walk(p)
	case info.Mode().IsRegular(), info.Mode()&fs.ModeSymlink != 0:
		return d.add(change{Change: Change{Path: p, Kind: kindOf(there), Bytes: info.Size()}, info: info, replace: there && below.IsDir()})
	}
	return nil // sockets, pipes and devices are nothing to keep
}

func kindOf(there bool) ChangeKind {
	if there {
		return Modified
	}
	return Added
}

func (d *difference) add(c change) error {
	if len(d.list) == maxChanges {
		return fault.Newf(fault.TooLarge, "the run changed more than %d paths of %s", maxChanges, quoted(d.workdir)).WithNext("throw the changes away, or mount the folder rw")
	}
	c.Workdir = d.workdir
	d.list = append(d.list, c)
	return nil
}

// hidden adds what an opaque folder covers without naming it.
func (d *difference) hidden(dir string, named []fs.FileInfo) error {
	f, err := d.lower.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil // no folder there: it is replaced as a whole
	}
	for _, e := range list {
		if !slices.ContainsFunc(named, func(i fs.FileInfo) bool { return i.Name() == e.Name() }) {
			if err := d.add(change{Change: Change{Path: path.Join(dir, e.Name()), Kind: Removed, Dir: e.IsDir()}}); err != nil {
				return err
			}
		}
	}
	return nil
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
