package run

import "io/fs"

const noFollow = 0

// ours: access is by the lists that the folder inherits, of which Go's file information says nothing.
func ours(fs.FileInfo) bool { return true }
