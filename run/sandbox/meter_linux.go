package sandbox

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// No file system that layers lie on offers an ordinary user a quota of its own for a folder, so the layers of a living process are measured again and again:
// often where the file system has grown, and never for more than a twentieth of the time.
const (
	meterPause   = 250 * time.Millisecond
	meterAtLeast = 5 * time.Second // a walk, also where others' removals hide that it has grown
	meterShare   = 20
	meterDepth   = 256       // folders in each other: deeper ones are no file system of a person's
	meterPaths   = 128 << 20 // bytes of all paths together
	meterNoise   = 64 << 20  // bytes that others may write meanwhile
	reserveMost  = 512 << 20 // bytes that are kept free, at most; on a small disk a fiftieth of it
)

// meter measures the layers of one process.
type meter struct {
	list  []*layer
	bytes int64 // bound
	files int   // bound
	begun space // at the start
	last  space // at the last walk
	at    time.Time
	has   int64 // bytes at the last walk
}

// space is what is free on a file system.
type space struct{ free, total, inodes int64 }

func spaceOf(dir string) (s space) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil {
		s = space{int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, int64(st.Ffree)}
	}
	return s
}

func newMeter(list []*layer, l Limits) *meter {
	m := &meter{list: list, bytes: int64(l.LayerMB) << 20, files: l.LayerFiles, at: time.Now()}
	m.begun = spaceOf(list[0].dir)
	m.last = m.begun
	return m
}

// due tells whether a walk is worth it: half of what is left to the bound was written by somebody, or it has been long.
func (m *meter) due(now space) bool {
	return m.last.free-now.free > (m.bytes-m.has)/2 || m.last.inodes-now.inodes > int64(m.files/4) || time.Since(m.at) > meterAtLeast
}

// check looks at the file system, and walks where that is due. Fault: too_large.
func (m *meter) check() error {
	now := spaceOf(m.list[0].dir)
	if reserve := min(reserveMost, now.total/50); now.free < reserve && m.begun.free-now.free > meterNoise {
		return fault.New(fault.TooLarge, "the disk that the run's changes are written to is almost full, so the run was ended", "make room, or point TMPDIR of the daemon to a larger disk")
	}
	if !m.due(now) {
		return nil
	}
	got, err := measure(m.list, m.bytes, m.files, false)
	m.last, m.at, m.has = now, time.Now(), got.bytes
	if err == nil && got.blind && m.begun.free-now.free > m.bytes+meterNoise { // in folders that it does not let us into
		err = errLayer(m.bytes, m.files)
	}
	return err
}

func errLayer(bytes int64, files int) error {
	return fault.Newf(fault.TooLarge, "the run wrote more beside its folders than %d MB or %d files, which is the bound", bytes>>20, files).
		WithNext("throw the changes away, and have a person mount the folder rw where a run must write that much")
}

// meter ends the process when its layers hold more than the bound.
func (p *Process) meter(m *meter) {
	for pause := meterPause; ; {
		select {
		case <-p.gone:
			return
		case <-time.After(pause):
		}
		began := time.Now()
		if err := m.check(); err != nil {
			p.mu.Lock()
			p.cut = err
			p.end()
			p.mu.Unlock()
			return
		}
		pause = max(meterPause, meterShare*time.Since(began))
	}
}

// Cut tells why the walls ended the process by themselves: fault too_large where it wrote more into layers than its Limits; nil where they did not. It holds from
// Done on.
func (p *Process) Cut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// size is what layers hold.
type size struct {
	bytes int64 // by the files' lengths: a file with holes is kept without
	files int   // names, folders included
	blind bool  // something could not be looked into
}

// measure walks layers until they hold more than the bounds. With rights it lets itself into folders that are shut: nobody is there any more who shut them.
func measure(list []*layer, bytes int64, files int, rights bool) (got size, err error) {
	w := &walker{rights: rights, bytes: bytes, files: files}
	for _, l := range list {
		dir, err := os.Open(l.dir)
		if err != nil {
			w.got.blind = true
			continue
		}
		w.got.files-- // the layer itself is nobody's change
		over := w.add(dir, "upper", 0)
		_ = dir.Close()
		if over {
			return w.got, errLayer(bytes, files)
		}
	}
	return w.got, nil
}

type walker struct {
	got    size
	rights bool
	bytes  int64
	files  int
	above  int // bytes of the path to the present folder
	paths  int // bytes of all paths: a list of changes has them
}

// walk adds what is in a folder, which it closes. Names may come and go meanwhile; no link is followed.
func (w *walker) walk(dir *os.File, depth int) (over bool) {
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(512)
		for _, name := range names {
			if w.add(dir, name, depth) {
				return true
			}
		}
		if err != nil {
			w.got.blind = w.got.blind || !errors.Is(err, io.EOF)
			return false
		}
	}
}

func (w *walker) add(dir *os.File, name string, depth int) (over bool) {
	var st unix.Stat_t
	if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	w.got.files++
	w.got.bytes += max(st.Size, st.Blocks*512)
	w.paths += w.above + len(name)
	if w.got.files > w.files || w.got.bytes > w.bytes || w.paths > meterPaths {
		return true
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	if w.rights && st.Mode&0o700 != 0o700 && setMode(dir, name, 0o700) == nil {
		defer setMode(dir, name, st.Mode&0o7777) // its rights are among the changes
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		w.got.blind = w.got.blind || !errors.Is(err, unix.ENOENT)
		return false
	}
	sub := os.NewFile(uintptr(fd), "layer")
	if depth == meterDepth {
		_ = sub.Close()
		return true
	}
	w.above += len(name) + 1
	over = w.walk(sub, depth+1)
	w.above -= len(name) + 1
	return over
}

// setMode changes a folder's rights; a link in its place is not followed.
func setMode(in *os.File, name string, mode uint32) error {
	fd, err := unix.Openat(int(in.Fd()), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+itoa(fd), mode)
}
