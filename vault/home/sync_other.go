//go:build !unix

package home

// syncFolder does nothing: Windows has no such call for folders, and NTFS journals names.
func syncFolder(string) error { return nil }
