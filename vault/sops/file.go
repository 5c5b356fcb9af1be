package sops

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// errMoving: the file changed while it was read.
var errMoving = errors.New("sops: the file changed while it was read")

// identity tells one state of a file from another: where it lies, its size, and when it was changed.
type identity struct {
	place    [2]uint64 // device and number, where the system has them
	size     int64
	modified int64 // ns
	status   int64 // ns, of the last change of any sort; 0 where the system does not say
}

// changed is the later of the two times.
func (i identity) changed() time.Time { return time.Unix(0, max(i.modified, i.status)) }

// stays tells whether it is the same file with the same content; that it was given another name, the last of the times says.
func (i identity) stays(now identity) bool {
	return i.place == now.place && i.size == now.size && i.modified == now.modified
}

// content is a file that was read whole.
type content struct {
	data []byte
	id   identity
	info fs.FileInfo
}

// look gives the identity of a file without reading it.
func look(path string) (identity, error) {
	st, err := os.Stat(path)
	if err != nil {
		return identity{}, unreadable(path, err)
	}
	return identify(st), nil
}

func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotInitialized, "there is no file "+home.Quote(path), "restore it from a copy, or make it with `sops edit`").Because(err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.NotPermitted, "the file "+home.Quote(path)+" cannot be read", "check who may read it, and its folder").Because(err)
	}
	return fault.New(fault.NotPermitted, "the file "+home.Quote(path)+" cannot be read", "check the disk").Because(err)
}

// readFile reads a file of ours. One that others may write, or replace, is refused: anybody can encrypt for a public recipient.
func readFile(path string) (content, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return content{}, unreadable(path, err)
	}
	defer f.Close()
	return readOpen(f, path)
}

func readOpen(f *os.File, path string) (content, error) {
	st, err := f.Stat()
	if err != nil {
		return content{}, unreadable(path, err)
	}
	if err := trusted(path, st); err != nil {
		return content{}, err
	}
	if st.Size() > wire.MaxFile {
		return content{}, fault.New(fault.TooLarge, home.Quote(path)+" is larger than 64 MiB", "split the file")
	}
	data, err := io.ReadAll(io.LimitReader(f, wire.MaxFile+1))
	if err != nil {
		return content{}, unreadable(path, err)
	}
	after, err := f.Stat()
	if err != nil || identify(after) != identify(st) || int64(len(data)) != st.Size() {
		return content{}, errMoving
	}
	return content{data, identify(st), st}, nil
}

// trusted refuses what another user could have put there.
func trusted(path string, st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return fault.New(fault.NotPermitted, home.Quote(path)+" is not a file", "name a file")
	}
	if !owned(st) || othersWrite(st) {
		return fault.New(fault.NotPermitted, "the file "+home.Quote(path)+" belongs to another user, or others may write it: anybody can make a file for this vault's public recipient", "chmod go-w "+home.Quote(path))
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return unreadable(path, err)
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(real)} {
		st, err := os.Stat(dir)
		if err != nil {
			return unreadable(path, err)
		}
		if !owned(st) || othersWrite(st) {
			return fault.New(fault.NotPermitted, "the folder of "+home.Quote(path)+" belongs to another user, or others may write in it and replace the file", "chmod go-w "+home.Quote(dir))
		}
	}
	return nil
}
