package sops

import (
	"io/fs"
	"syscall"
)

func identify(st fs.FileInfo) identity {
	i := identity{size: st.Size(), modified: st.ModTime().UnixNano()}
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		i.place, i.status = [2]uint64{uint64(s.Dev), s.Ino}, s.Ctimespec.Nano()
	}
	return i
}
