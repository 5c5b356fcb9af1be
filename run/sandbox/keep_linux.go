package sandbox

import (
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Keep applies the changes to the real folders, one path after another, each at once or not at all; files get the folder's owner, and no
// set-user-id, set-group-id or sticky bit. It needs every process of the box to have ended; the box's later processes see what was kept.
func (b *Box) Keep() error {
	b.mu.Lock()
	busy, layers := len(b.live) > 0, slices.Clone(b.layers)
	b.mu.Unlock()
	if busy {
		return fault.New(fault.Busy, "the run still changes what is to be kept", "wait for its end")
	}
	for _, l := range layers {
		err := b.compare(l, func(d *difference) error {
			for _, c := range d.list {
				if err := b.keep(d, l, c); err != nil {
					return fault.Newf(fault.WorkdirRefused, "%s in %s could not be kept; what comes before it in the list of changes was", quoted(c.Path), quoted(d.workdir)).Because(err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := b.drop(l); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets a layer whose changes are in the folder now.
func (b *Box) drop(l *layer) error {
	b.mu.Lock()
	b.layers = slices.DeleteFunc(b.layers, func(o *layer) bool { return o == l })
	b.mu.Unlock()
	return removeAll(l.dir)
}

func (b *Box) keep(d *difference, l *layer, c change) error {
	if c.Kind == Removed || c.replace {
		if err := d.lower.RemoveAll(c.Path); err != nil {
			return err
		}
	}
	switch {
	case c.Kind == Removed:
		return nil
	case c.Dir:
		if err := d.lower.Mkdir(c.Path, c.info.Mode().Perm()|0o700); err != nil {
			return err
		}
		return b.own(d, l, c.Path)
	}
	// beside it first, and then in its place
	temp := path.Join(path.Dir(c.Path), ".zavhoz-keep-"+itoa(os.Getpid()))
	_ = d.lower.Remove(temp)
	err := b.copyTo(d, c, temp)
	if err == nil {
		err = b.own(d, l, temp)
	}
	if err == nil {
		err = d.lower.Rename(temp, c.Path)
	}
	if err != nil {
		_ = d.lower.Remove(temp)
	}
	return err
}

func (b *Box) copyTo(d *difference, c change, temp string) error {
	if c.info.Mode()&fs.ModeSymlink != 0 {
		target, err := d.upper.Readlink(c.Path)
		if err != nil {
			return err
		}
		return d.lower.Symlink(target, temp)
	}
	perm := c.info.Mode().Perm()
	if perm&0o400 == 0 {
		_ = d.upper.Chmod(c.Path, perm|0o400) // the layer is ours
	}
	src, err := d.upper.Open(c.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := d.lower.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Chmod(perm)
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.lower.Chtimes(temp, c.info.ModTime(), c.info.ModTime())
	}
	return err
}

// own gives what was made to the folder's owner, where we are somebody else.
func (b *Box) own(d *difference, l *layer, p string) error {
	if !b.s.ids.choose {
		return nil
	}
	return d.lower.Lchown(p, int(l.st.Uid), int(l.st.Gid))
}
