package process

import (
	"io/fs"
	"os"
)

func openRead(path string) (*os.File, error) { return os.Open(path) }

func executable(fs.FileInfo) bool { return true }

func ownedByRoot(fs.FileInfo) bool { return false }

// trusted: access lists are not read here yet, so only a pinned hash is accepted.
func trusted(path string, _ *os.File) error { return unsafeFile(path) }
