package vaulttest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/store"
)

// Deny takes from this process the right to write to a vault's file that it has open, and to the journal beside it, as where somebody made them immutable: the kernel answers EPERM, to root as well. What can be read stays. allow
// gives the right back to what is still open then.
//
// Behind each descriptor of the file comes a copy of it in memory that is sealed against writing.
func Deny(t testing.TB, path string) (allow func()) {
	t.Helper()
	kept := map[int]int{} // descriptor → what it was
	for fd, name := range descriptors(t) {
		if name != path && name != path+".journal" {
			continue
		}
		was, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		Must(t, err)
		seal(t, fd, name)
		kept[fd] = was
	}
	if len(kept) == 0 {
		t.Fatalf("%s is not open", path)
	}
	return func() {
		open := descriptors(t)
		for fd, was := range kept {
			if strings.HasPrefix(open[fd], "/memfd:"+deniedName) { // else it was closed meanwhile
				Must(t, unix.Dup3(was, fd, unix.O_CLOEXEC))
			}
			Must(t, unix.Close(was))
		}
	}
}

// seal puts the sealed copy behind fd.
func seal(t testing.TB, fd int, path string) {
	t.Helper()
	now, err := os.ReadFile(path)
	Must(t, err)
	sealed, err := unix.MemfdCreate(deniedName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	Must(t, err)
	defer unix.Close(sealed)
	if n, err := unix.Write(sealed, now); err != nil || n != len(now) {
		t.Fatalf("%d bytes: %v", n, err)
	}
	_, err = unix.FcntlInt(uintptr(sealed), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	Must(t, err)
	Must(t, unix.Dup3(sealed, fd, unix.O_CLOEXEC))
}

const deniedName = "denied"

// descriptors names what this process has open.
func descriptors(t testing.TB) map[int]string {
	t.Helper()
	const dir = "/proc/self/fd"
	all, err := os.ReadDir(dir)
	Must(t, err)
	out := map[int]string{}
	for _, e := range all {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		fd, nerr := strconv.Atoi(e.Name())
		if err == nil && nerr == nil {
			out[fd] = name
		}
	}
	return out
}

// Denied is a store whose file loses the right to be written before one of its commits.
type Denied struct {
	store.Store
	// Path is the file.
	Path string
	// Left is how many commits go well before; negative: all.
	Left int

	mu    sync.Mutex
	allow func()
	t     testing.TB
}

// NewDenied stands before st, which is in the file at path.
func NewDenied(t testing.TB, st store.Store, path string, left int) *Denied {
	return &Denied{Store: st, Path: path, Left: left, t: t}
}

// Update runs fn, and before the commit whose turn it is takes the right away.
func (d *Denied) Update(ctx context.Context, fn func(store.Tx) error) error {
	d.mu.Lock()
	if d.allow == nil && d.Left == 0 {
		d.allow = Deny(d.t, d.Path)
	}
	d.Left--
	d.mu.Unlock()
	return d.Store.Update(ctx, fn)
}

// Allow gives the right back; was tells whether it was taken.
func (d *Denied) Allow() (was bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.allow == nil {
		return false
	}
	d.allow()
	d.allow, d.Left = nil, -1
	return true
}
