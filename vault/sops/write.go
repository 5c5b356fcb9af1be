package sops

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

const (
	tempMark  = ".zavhoz-sops-" // within the name of a file that is being written
	lockEvery = 20 * time.Millisecond
	maxLinks  = 8
)

// step is called before each thing that a write does to the disk; a test makes it fail there, or ends the process.
type step func(name string) error

// The steps, in order.
const (
	stepTemp   = "temp"   // make the new file
	stepWrite  = "write"  // its bytes
	stepMode   = "mode"   // owner and mode of the old one
	stepSync   = "sync"   // its bytes are on the disk
	stepRename = "rename" // it takes the old one's place
	stepFolder = "folder" // its name is on the disk
)

// Edit changes a file of the source in place and takes the result in. The file on the disk is the old one or the new one at every moment, whatever fails;
// an error after the new one took its place says so. It neither keeps nor wipes changes.
// Errors: version_conflict (somebody else wrote meanwhile), not_permitted, and those of Codec.Edit.
func (s *Source) Edit(ctx context.Context, path string, changes []wire.Change) error {
	for _, l := range s.files {
		if l.spec.Path != path {
			continue
		}
		ids, err := s.o.Identities(ctx)
		if err != nil {
			return err
		}
		err = Rewrite(ctx, path, func(before []byte) ([]byte, error) {
			if !s.inForce(l, before) {
				return nil, fault.New(fault.VersionConflict, home.Quote(path)+" is another than the one that was read; nothing was written", "try again")
			}
			return s.o.Codec.Edit(ctx, path, before, ids, changes)
		})
		if s.refresh(ctx, l, true) && s.o.Changed != nil {
			s.o.Changed()
		}
		return err
	}
	return fault.New(fault.InvalidArgument, "the file is none of this source", "")
}

// inForce tells whether content is what the set in force was read from: a change that was decided on another one would undo what it says.
func (s *Source) inForce(l *live, content []byte) bool {
	l.busy.Lock()
	defer l.busy.Unlock()
	return l.loaded && sha256.Sum256(content) == l.sum
}

// Rewrite replaces a SOPS file by what change makes of it, under a lock that other writers of ours heed: a new file in the same folder, with ciphertext alone, takes
// its place. Owner and mode stay. A link is followed if all on the way is ours; the file that it leads to is written.
func Rewrite(ctx context.Context, path string, change func(before []byte) ([]byte, error)) error {
	return rewrite(ctx, path, change, func(string) error { return nil })
}

func rewrite(ctx context.Context, path string, change func([]byte) ([]byte, error), at step) error {
	target, err := follow(path)
	if err != nil {
		return err
	}
	f, err := lockFile(ctx, target)
	if err != nil {
		return err
	}
	defer f.Close() // ends the lock
	before, err := readOpen(f, target)
	if err != nil {
		return moving(target, err)
	}
	if links(before.info) > 1 {
		return fault.New(fault.NotSupported, home.Quote(path)+" has a second name (a hard link), which would keep the old content", "remove the other name")
	}
	after, err := change(before.data)
	if err != nil {
		return err
	}
	sweep(target)
	return replace(target, before, after, at)
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
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|openFlags|noFollow, 0)
		if err != nil {
			return nil, unreadable(path, err)
		}
		ok, err := tryLock(f)
		if err == nil && ok {
			held, err1 := f.Stat()
			named, err2 := os.Lstat(path)
			if err1 == nil && err2 == nil && os.SameFile(held, named) {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, fault.New(fault.NotSupported, "the file "+home.Quote(path)+" cannot be locked", "keep it on a disk of this machine").Because(err)
		}
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Busy, home.Quote(path)+" is being written by another zavhoz", "try again").Because(ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}

// replace writes after beside target and renames it there. Until the rename nothing of target changed; whatever fails before it removes the new file.
func replace(target string, before content, after []byte, at step) (err error) {
	temp := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+tempMark+random())
	if err := at(stepTemp); err != nil {
		return failed(target, err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|openFlags|noFollow, 0o600)
	if err != nil {
		return failed(target, err)
	}
	renamed := false
	defer func() {
		if !renamed {
			_ = os.Remove(temp)
		}
	}()
	err = fill(f, before, after, at)
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
		return fault.New(fault.VersionConflict, home.Quote(target)+" was changed by something else meanwhile; nothing was written", "try again").Because(err)
	}
	if err := os.Rename(temp, target); err != nil {
		return failed(target, err)
	}
	renamed = true
	if err = at(stepFolder); err == nil {
		err = syncFolder(filepath.Dir(target))
	}
	if err != nil {
		return fault.New(fault.Internal, home.Quote(target)+" was written, but the disk does not confirm it", "check the disk, and the file").Because(err)
	}
	return nil
}

func fill(f *os.File, before content, after []byte, at step) error {
	if err := at(stepWrite); err != nil {
		return err
	}
	if _, err := f.Write(after); err != nil {
		return err
	}
	if err := at(stepMode); err != nil {
		return err
	}
	if err := likeBefore(f, before.info); err != nil {
		return err
	}
	if err := at(stepSync); err != nil {
		return err
	}
	return f.Sync()
}

func failed(path string, err error) error {
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
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+tempMark+random())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|openFlags|noFollow, 0o600)
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
