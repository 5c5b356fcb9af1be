package sandbox

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// layer is where the changes to one overlay working directory go: a private folder on the disk, which outlives the process and dies with the box.
type layer struct {
	Workdir
	dir string // holds upper and work
	st  unix.Stat_t
}

func (l *layer) upper() string { return filepath.Join(l.dir, "upper") }

// layer gives the box's layer for a working directory, nil if it has none.
func (b *Box) layer(p string) *layer {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.layers {
		if l.Path == p {
			return l
		}
	}
	return nil
}

// newLayer makes the folders of an overlay, once a box and path.
func (b *Box) newLayer(o *opened) error {
	if b.layer(o.Path) != nil {
		return nil
	}
	dir, err := b.folder()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	l := &layer{o.Workdir, filepath.Join(dir, "layer"+itoa(b.made)), o.st}
	for _, p := range []string{l.dir, l.upper(), filepath.Join(l.dir, "work")} {
		if err := os.Mkdir(p, 0o700); err != nil {
			return err
		}
		if b.s.ids.choose {
			if err := os.Chown(p, int(b.outer.uid), int(b.outer.gid)); err != nil {
				return err
			}
		}
	}
	if err := os.Chmod(l.upper(), os.FileMode(o.st.Mode&0o777)); err != nil { // the merged folder's mode is the upper one's
		return err
	}
	b.layers = append(b.layers, l)
	return nil
}

// overlay shows the folder with a layer of changes over it. Both lie below the old root and go out of sight with it.
func (c *composer) overlay(i int, o *opened, lower *os.File, l *layer) {
	at := c.scratch + "/layer" + itoa(i)
	what := whatWorkdir + o.Path
	for _, p := range []string{at, at + "/l", at + "/u"} {
		c.call(what, unix.SYS_MKDIRAT, unix.AT_FDCWD, c.str(p), 0o700)
	}
	if lower != nil {
		c.place(what, c.pass(lower), at+"/l", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
	} else {
		c.place(what, c.clone(o), at+"/l", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV)
	}
	if f := c.layerMounts[o]; f != nil {
		c.place(what, c.pass(f), at+"/u", unix.MOUNT_ATTR_NODEV)
	} else {
		c.bind(old+l.dir, at+"/u", unix.MOUNT_ATTR_NODEV)
	}
	c.folder(o.Path)
	opts := "lowerdir=" + at + "/l,upperdir=" + at + "/u/upper,workdir=" + at + "/u/work,userxattr"
	c.call(what, unix.SYS_MOUNT, c.str("overlay"), c.str(o.Path), c.str("overlay"), unix.MS_NOSUID|unix.MS_NODEV, c.str(opts))
	c.covers = append(c.covers, o.Path)
}
