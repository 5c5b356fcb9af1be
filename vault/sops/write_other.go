//go:build !unix

package sops

import (
	"errors"
	"io/fs"
	"os"
)

const openFlags, noFollow = 0, 0

// tryLock: files of SOPS are not written in place on this system: no lock here outlives a rename.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func links(fs.FileInfo) uint64 { return 1 }

func likeBefore(*os.File, fs.FileInfo) error { return errors.ErrUnsupported }

func syncFolder(string) error { return nil }
