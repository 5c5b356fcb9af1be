//go:build unix

package sops

import (
	"io/fs"
	"os"
	"syscall"
)

const rootDir = "/"

// owned tells whether this user or root owns it.
func owned(st fs.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid())
}

// othersWrite tells whether group or others may change it; in a folder with the sticky bit they may only add.
func othersWrite(st fs.FileInfo) bool {
	return st.Mode().Perm()&0o022 != 0 && st.Mode()&fs.ModeSticky == 0
}
