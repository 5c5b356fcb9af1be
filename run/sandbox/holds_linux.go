package sandbox

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// HoldsLayers tells whether layers can be made in a folder (BoxOptions.Layers): its file system takes extended attributes of users, and is no overlay itself.
func HoldsLayers(dir string) bool {
	var fsys unix.Statfs_t
	if unix.Statfs(dir, &fsys) != nil || fsys.Type == unix.OVERLAYFS_SUPER_MAGIC || fsys.Type == unix.NFS_SUPER_MAGIC {
		return false
	}
	f, err := os.CreateTemp(dir, ".layer-")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Setxattr(filepath.Clean(f.Name()), "user.overlay.opaque", []byte("n"), 0) == nil
}
