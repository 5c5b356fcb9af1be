package sops

import "golang.org/x/sys/unix"

// tells says whether the system tells of every change in a folder: not where the folder is another machine's.
func tells(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Flags&unix.MNT_LOCAL != 0
}
