package sops

import (
	"slices"

	"golang.org/x/sys/unix"
)

// local are the file systems that nobody writes but through this kernel, which then tells. Of others (NFS, SMB, FUSE, 9p) it tells what this machine does alone.
var local = []int64{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC,
	0x2fc12fc1, // ZFS
	0xca451a4e, // bcachefs
}

// tells says whether the system tells of every change in a folder.
func tells(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && slices.Contains(local, int64(uint32(st.Type)))
}
