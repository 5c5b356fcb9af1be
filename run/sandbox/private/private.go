// Package private keeps the folders that a process makes for its runs in the folder for temporary files, and removes those of processes that were killed.
//
// Promise: all folders of one process lie in one, which it holds by a lock for life; Sweep removes what such processes left, and nothing that a living one
// has. Only folders of the same user that have the name and are no links are looked into; everything is opened from the folder above it, so that nobody who
// may write there leads the removal elsewhere. What a command made of its folders (no rights, any depth) does not keep them from being removed.
//
// Attacks stopped (threat-model.md): what is left for the next run (6), also after a kill of the daemon.
//
// Limits: locks of folders are Linux's and macOS's; elsewhere nothing is swept. Where a run had a user of its own, only a daemon that may pass such a user's
// rights (root, or with CAP_DAC_OVERRIDE) can remove what it made without rights for others.
package private

import (
	"os"
	"path/filepath"
	"sync"
)

// prefix begins the name of a process's folder.
const prefix = "zavhoz-private-"

// Folders are those of this process. They are safe for concurrent use; the zero value is of no use: New.
type Folders struct {
	in   string      // where the one folder is made
	mode os.FileMode // of it

	mu   sync.Mutex
	dir  string // "": none was needed yet
	held *os.File
}

// New makes folders in dir, the system's for temporary files where it is "". passable lets other users through to what lies below, but not look in.
func New(dir string, passable bool) *Folders {
	if dir == "" {
		dir = os.TempDir()
	}
	mode := os.FileMode(0o700)
	if passable {
		mode = 0o711
	}
	return &Folders{in: dir, mode: mode}
}

// Make makes a folder whose name begins with that, and gives its path, with no link in it. It has mode 0700.
func (f *Folders) Make(begin string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" {
		if err := f.begin(); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(f.dir, begin)
}

// begin makes the one folder, and holds it. A sweep of another process's may come between the two: then there is another one.
func (f *Folders) begin() error {
	var last error
	for range 8 {
		dir, err := os.MkdirTemp(f.in, prefix)
		if err != nil {
			return err
		}
		if f.held, last = hold(dir); last == nil {
			if dir, err = filepath.EvalSymlinks(dir); err == nil {
				err = os.Chmod(dir, f.mode)
			}
			if err != nil {
				_ = f.held.Close()
				return err
			}
			f.dir = dir
			return nil
		}
		_ = os.Remove(dir)
	}
	return last
}

// Within tells whether a clean path is the one folder, or lies in it.
func (f *Folders) Within(p string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" {
		return false
	}
	rel, err := filepath.Rel(f.dir, p)
	return err == nil && filepath.IsLocal(rel)
}

// Close removes the one folder with all that is left in it. What is made afterwards goes into another.
func (f *Folders) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" {
		return nil
	}
	err := Remove(f.dir)
	_ = f.held.Close()
	f.dir, f.held = "", nil
	return err
}
