//go:build unix

package process

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openRead does not hang on a FIFO put where the binary was.
func openRead(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

func executable(st fs.FileInfo) bool { return st.Mode()&0o111 != 0 }

func ownedByRoot(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Uid == 0
}

// trusted tells whether only root and the daemon's own user can change the file or what lies at its path.
func trusted(path string, f *os.File) error {
	st, err := f.Stat()
	if err != nil || !ours(st) || st.Mode()&0o022 != 0 {
		return unsafeFile(path)
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil || !ours(st) || st.Mode()&0o022 != 0 && st.Mode()&fs.ModeSticky == 0 {
			return unsafeFile(path)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && (sys.Uid == 0 || int(sys.Uid) == os.Geteuid())
}
