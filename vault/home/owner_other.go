//go:build !unix

package home

import "io/fs"

// On Windows access is by lists that the folder inherits from the user's profile, which is closed to other users; Go's mode bits say nothing of
// them, so nothing is checked here.
func isOwn(fs.FileInfo) bool { return true }

func openToOthers(fs.FileInfo) bool { return false }

const openFlags = 0
