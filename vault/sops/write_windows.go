package sops

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

const openFlags, noFollow = 0, 0

// Replacing a file fails for as long as any program has it open: a virus scanner for a moment, an editor for hours.
const (
	renameTries = 20
	renameEvery = 50 * time.Millisecond
)

// held is a file under a lock. The lock is another file's, which stays beside it, empty: nothing takes the place of an open file here, so that the file itself
// is closed by then.
type held struct{ file, lock *os.File }

func (h *held) release() { _ = errors.Join(h.file.Close(), h.lock.Close()) }

func (h *held) letGo() { _ = h.file.Close() }

// claim: the lock is of no file that takes a name.
func (h *held) claim(*os.File) error { return nil }

// lock locks and opens the file of a name; nil if another holds it.
func lock(path string) (*held, error) {
	beside, err := os.OpenFile(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+tempMark+"lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, failed(path, err)
	}
	err = windows.LockFileEx(windows.Handle(beside.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		_ = beside.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, nil
		}
		return nil, noLock(path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		_ = beside.Close()
		return nil, unreadable(path, err)
	}
	return &held{f, beside}, nil
}

// rename takes a file's place (MoveFileEx, which is one act on NTFS). A program that has it open, sops that is writing among them, is waited for, and then told of.
func rename(from, to string) (err error) {
	for range renameTries {
		if err = os.Rename(from, to); err == nil {
			return nil
		}
		if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			return err
		}
		time.Sleep(renameEvery)
	}
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return errors.Join(errInUse, err)
	}
	return err
}

func links(fs.FileInfo) uint64 { return 1 }

// likeBefore gives the new file the old one's access list, inherited or its own; the owner is whoever writes.
func likeBefore(f *os.File, target string, _ fs.FileInfo) error {
	sd, err := windows.GetNamedSecurityInfo(target, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	control, _, err := sd.Control()
	if err != nil {
		return err
	}
	what := windows.SECURITY_INFORMATION(windows.DACL_SECURITY_INFORMATION | windows.UNPROTECTED_DACL_SECURITY_INFORMATION)
	if control&windows.SE_DACL_PROTECTED != 0 {
		what = windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION
	}
	return windows.SetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT, what, nil, nil, dacl, nil)
}

// syncFolder: NTFS keeps names in its journal; folders cannot be flushed.
func syncFolder(string) error { return nil }
