//go:build linux || darwin

package private

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxDepth is how many folders are open at once. What lies deeper is moved up first: a command can make a tree that is deeper than this process has descriptors.
const maxDepth = 64

// maxRounds bounds what a process that still lives and makes folders could hold us up for.
const maxRounds = 100_000

// remover empties one tree.
type remover struct {
	root  *os.File
	moved int
	first error
}

// remove takes away name, which lies in top, and all below it.
func remove(top *os.File, name string) error {
	root, err := openFolder(top, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	defer root.Close()
	r := &remover{root: root}
	for range maxRounds {
		before := r.moved
		if _, err := root.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r.empty(root, 0)
		if r.moved == before { // nothing was moved up any more
			break
		}
	}
	if err := unix.Unlinkat(int(top.Fd()), name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return errors.Join(&os.PathError{Op: "remove", Path: name, Err: err}, r.first)
	}
	return nil
}

// openFolder opens what is a folder and no link, and takes every right to it: whoever made it may have given none.
func openFolder(in *os.File, name string) (*os.File, error) {
	const how = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(in.Fd()), name, how, 0)
	if errors.Is(err, unix.EACCES) {
		if err = giveRights(in, name); err != nil {
			return nil, err
		}
		fd, err = unix.Openat(int(in.Fd()), name, how, 0)
	}
	if err != nil {
		return nil, err
	}
	_ = unix.Fchmod(fd, 0o700)
	return os.NewFile(uintptr(fd), name), nil
}

// empty removes what is in a folder; what cannot be removed stays, and is told of.
func (r *remover) empty(dir *os.File, depth int) {
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			r.drop(dir, name, depth)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.note(err)
			}
			return
		}
	}
}

func (r *remover) drop(dir *os.File, name string, depth int) {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return
	}
	if depth == maxDepth {
		up := ".zavhoz-deep-" + strconv.Itoa(r.moved)
		if err := unix.Renameat(int(dir.Fd()), name, int(r.root.Fd()), up); err != nil {
			r.note(err)
			return
		}
		r.moved++
		return
	}
	sub, oerr := openFolder(dir, name)
	if oerr != nil {
		r.note(errors.Join(err, oerr))
		return
	}
	r.empty(sub, depth+1)
	_ = sub.Close()
	if err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		r.note(err)
	}
}

func (r *remover) note(err error) {
	if r.first == nil {
		r.first = err
	}
}
