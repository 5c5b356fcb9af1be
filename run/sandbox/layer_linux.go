package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// layer is where the changes to one overlay working directory go: a private folder on the disk, which outlives the process. Where the box was given a folder for
// its layers it outlives the box, too.
type layer struct {
	Layer
	dir  string // holds upper and work
	ours bool   // of Probe's own
}

func (l *layer) upper() string { return filepath.Join(l.dir, "upper") }

// layer gives the box's layer for a working directory, nil if it has none.
func (b *Box) layer(p string) *layer {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.layers {
		if l.Workdir == p {
			return l
		}
	}
	return nil
}

// newLayer makes the folders of an overlay, once a box and path, or goes on in those of an earlier box.
func (b *Box) newLayer(o *opened) error {
	if b.layer(o.Path) != nil {
		return nil
	}
	dir := b.keepIn
	if dir == "" {
		var err error
		if dir, err = b.folder(); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &layer{Layer: o.layer(), ours: o.ours}
	for _, had := range b.had {
		if had.same(l.Layer) {
			l.Name = had.Name
		}
	}
	made := []string{"work"}
	if l.Name == "" {
		b.made++
		l.Name = "layer" + itoa(b.made)
		made = []string{"", "upper", "work"}
	}
	l.dir = filepath.Join(dir, l.Name)
	if len(made) == 1 {
		if err := l.takeOver(b); err != nil {
			return err
		}
	}
	for _, name := range made {
		if err := b.makeOwn(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	if err := os.Chmod(l.upper(), os.FileMode(o.st.Mode&0o777)); err != nil { // the merged folder's mode is the upper one's
		return err
	}
	b.layers = append(b.layers, l)
	return nil
}

// makeOwn makes a folder of the run's user.
func (b *Box) makeOwn(p string) error {
	if err := os.Mkdir(p, 0o700); err != nil || !b.s.ids.choose {
		return err
	}
	return os.Chown(p, int(b.outer.uid), int(b.outer.gid))
}

// takeOver makes what an earlier box wrote the new one's.
func (l *layer) takeOver(b *Box) error {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := removeAll(filepath.Join(l.dir, "work")); err != nil || !b.s.ids.choose {
		return err
	}
	if err := os.Chown(l.dir, int(b.outer.uid), int(b.outer.gid)); err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), "upper", func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(p, int(b.outer.uid), int(b.outer.gid))
	})
}

// layer describes the folder as a layer finds it again.
func (o *opened) layer() Layer {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) // the clock of a file's times: one more exact would be ahead of them
	l := Layer{Workdir: o.Path, Dev: o.st.Dev, Ino: o.st.Ino, UID: o.st.Uid, GID: o.st.Gid, Since: now.Nano()}
	var stx unix.Statx_t
	if unix.Statx(int(o.file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &stx) == nil && stx.Mask&unix.STATX_BTIME != 0 {
		l.Born = stx.Btime.Sec*1e9 + int64(stx.Btime.Nsec)
	}
	return l
}

// same tells whether two layers lie over the same folder. The number of a device may be another after a restart of the machine.
func (l Layer) same(o Layer) bool {
	return l.Workdir == o.Workdir && l.Ino == o.Ino && (l.Dev == o.Dev || l.Born != 0 && l.Born == o.Born)
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
