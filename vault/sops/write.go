package sops

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// errInUse: another program holds the file open, and the system lets nobody replace it.
var errInUse = errors.New("sops: the file is in use")

const (
	tempMark  = ".zavhoz-sops-" // within the name of a file that is being written
	lockEvery = 20 * time.Millisecond
	maxLinks  = 8
)

// step is called before each thing that a write does to the disk: a test makes it fail there, or ends the process.
type step func(name string) error

func noStep(string) error { return nil }

// The steps, in order.
const (
	stepTemp   = "temp"   // make the new file
	stepWrite  = "write"  // its bytes
	stepMode   = "mode"   // owner and mode of the old one
	stepSync   = "sync"   // its bytes are on the disk
	stepRename = "rename" // the old one is looked at once more
	stepTake   = "take"   // the new one takes its place
	stepFolder = "folder" // its name is on the disk
)

// Rewrite replaces a SOPS file by what change makes of it, under a lock that other writers of ours heed: a new file in the same folder, with ciphertext alone, takes
// its place. Owner and mode stay. A link is followed if all on the way is ours; the file that it leads to is written.
func Rewrite(ctx context.Context, path string, change func(before []byte) ([]byte, error)) error {
	return rewrite(ctx, path, change, noStep)
}

func rewrite(ctx context.Context, path string, change func([]byte) ([]byte, error), at step) error {
	return holding(ctx, path, func(target string, h *held, before content) error {
		after, err := change(before.data)
		if err != nil {
			return err
		}
		sweep(target)
		return replace(target, h, before, after, at)
	})
}

// rehearse is rewrite up to the first byte: it sees that a file can be made beside the old one, and makes an empty one.
func rehearse(ctx context.Context, path string, change func([]byte) error) error {
	return holding(ctx, path, func(target string, _ *held, before content) error {
		if err := change(before.data); err != nil {
			return err
		}
		f, temp, err := beside(target)
		if err != nil {
			return failed(target, err)
		}
		err = likeBefore(f, target, before.info)
		if err = errors.Join(err, f.Close(), os.Remove(temp)); err != nil {
			return failed(target, err)
		}
		return nil
	})
}

// holding reads a file and holds its lock while fn runs.
func holding(ctx context.Context, path string, fn func(target string, h *held, before content) error) error {
	target, err := follow(path)
	if err != nil {
		return err
	}
	h, err := lockFile(ctx, target)
	if err != nil {
		return err
	}
	defer h.release()
	before, err := readOpen(h.file, target)
	if err != nil {
		return moving(target, err)
	}
	if links(before.info) > 1 {
		return fault.New(fault.NotSupported, home.Quote(path)+" has a second name (a hard link), which would keep the old content", "remove the other name")
	}
	return fn(target, h, before)
}

func moving(path string, err error) error {
	if errors.Is(err, errMoving) {
		return fault.New(fault.VersionConflict, home.Quote(path)+" is being written by something else", "try again")
	}
	return err
}

// follow resolves links by hand: each of them, and the folder that it lies in, is ours, so that nobody else sends a write elsewhere.
func follow(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	for range maxLinks {
		st, err := os.Lstat(path)
		if err != nil {
			return "", unreadable(path, err)
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		dir, err := os.Stat(filepath.Dir(path))
		if err != nil {
			return "", unreadable(path, err)
		}
		if !owned(st) || !owned(dir) || dir.Mode().Perm()&0o022 != 0 {
			return "", fault.New(fault.NotPermitted, home.Quote(path)+" is a link that others could have put there", "name the file itself")
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", unreadable(path, err)
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = filepath.Clean(to)
	}
	return "", fault.New(fault.NotPermitted, "the link leads in circles", "name the file itself")
}

// lockFile opens and locks the file that has the name, and not one that had it a moment ago.
func lockFile(ctx context.Context, path string) (*held, error) {
	for {
		h, err := lock(path)
		if err == nil && h != nil {
			return h, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Busy, home.Quote(path)+" is being written by another zavhoz", "try again").Because(ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}

func noLock(path string, err error) error {
	return fault.New(fault.NotSupported, "the file "+home.Quote(path)+" cannot be locked", "keep it on a disk of this machine").Because(err)
}

// beside makes an empty file in target's folder, for this user alone.
func beside(target string) (f *os.File, temp string, err error) {
	temp = filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+tempMark+random())
	f, err = os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|openFlags|noFollow, 0o600)
	return f, temp, err
}

// replace writes after beside target and puts it there. Until then nothing of target changed; whatever fails before it removes the new file.
func replace(target string, h *held, before content, after []byte, at step) (err error) {
	if err := at(stepTemp); err != nil {
		return failed(target, err)
	}
	f, temp, err := beside(target)
	if err != nil {
		return failed(target, err)
	}
	taken := false
	defer func() {
		if !taken {
			_ = os.Remove(temp)
		}
	}()
	if err = h.claim(f); err == nil {
		err = fill(f, target, before, after, at)
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err == nil {
		err = at(stepRename)
	}
	if err != nil {
		return failed(target, err)
	}
	if now, err := os.Lstat(target); err != nil || identify(now) != before.id {
		return overtaken(target, err)
	}
	h.letGo()
	if err = at(stepTake); err != nil {
		return failed(target, err)
	}
	if taken, err = takeBy(exchange, temp, target, before); err != nil {
		return err
	}
	if err = at(stepFolder); err == nil {
		err = syncFolder(filepath.Dir(target))
	}
	if err != nil {
		return fault.New(fault.Internal, home.Quote(target)+" was written, but the disk does not confirm it", "check the disk, and the file").Because(err)
	}
	return nil
}

func overtaken(target string, cause error) error {
	return fault.New(fault.VersionConflict, home.Quote(target)+" was changed by something else meanwhile; nothing was written", "try again").Because(cause)
}

// takeBy puts the new file in the place of the old one. Where the system can exchange two names, it looks at what it took away: sops does not lock, and if it wrote
// between our last look and now, it gets its place back. taken is false where temp is ours to remove.
func takeBy(exchange func(a, b string) error, temp, target string, before content) (taken bool, err error) {
	switch err := exchange(temp, target); {
	case errors.Is(err, errors.ErrUnsupported):
		if err := rename(temp, target); err != nil {
			return false, failed(target, err)
		}
		return true, nil
	case err != nil:
		return false, failed(target, err)
	}
	if old, err := os.Lstat(temp); err == nil && before.id.stays(identify(old)) {
		_ = os.Remove(temp) // where that fails, the next write sweeps it
		return true, nil
	}
	if err := exchange(temp, target); err != nil {
		return true, fault.New(fault.Internal, home.Quote(target)+" was changed by something else meanwhile, and what it wrote lies beside it, as "+home.Quote(temp), "look at both, and put the right one in its place").Because(err)
	}
	return false, overtaken(target, nil)
}

func fill(f *os.File, target string, before content, after []byte, at step) error {
	if err := at(stepWrite); err != nil {
		return err
	}
	if _, err := f.Write(after); err != nil {
		return err
	}
	if err := at(stepMode); err != nil {
		return err
	}
	if err := likeBefore(f, target, before.info); err != nil {
		return err
	}
	if err := at(stepSync); err != nil {
		return err
	}
	return f.Sync()
}

func failed(path string, err error) error {
	if errors.Is(err, errInUse) {
		return fault.New(fault.Busy, home.Quote(path)+" is open in another program; it is as it was", "close it there, and try again").Because(err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.NotPermitted, home.Quote(path)+" cannot be written; it is as it was", "check its owner and mode, and its folder's").Because(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.InvalidArgument, home.Quote(path)+" cannot be written: there is no such folder", "make the folder, or name a file in another").Because(err)
	}
	return fault.New(fault.Internal, home.Quote(path)+" cannot be written; it is as it was", "check that the disk has room").Because(err)
}

// sweep removes what writes that were killed left behind: ciphertext, under names of ours. The lock is held, so none is at work.
func sweep(target string) {
	names, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return
	}
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n.Name(), "."+filepath.Base(target)+tempMark); ok && len(rest) == 16 && n.Type().IsRegular() {
			_ = os.Remove(filepath.Join(filepath.Dir(target), n.Name()))
		}
	}
}

func random() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// WriteNew writes a SOPS file where there is none, 0600, whole or not at all. Errors: already_initialized where there is one.
func WriteNew(path string, file []byte) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return unreadable(path, err)
	}
	f, temp, err := beside(path)
	if err != nil {
		return failed(path, err)
	}
	defer os.Remove(temp)
	_, err = f.Write(file)
	if err == nil {
		err = f.Sync()
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err != nil {
		return failed(path, err)
	}
	if err := os.Link(temp, path); err != nil { // unlike a rename it takes nothing's place
		if errors.Is(err, fs.ErrExist) {
			return fault.New(fault.AlreadyInitialized, home.Quote(path)+" is there already; nothing was changed", "choose another name").Because(err)
		}
		return failed(path, err)
	}
	return syncFolder(filepath.Dir(path))
}
