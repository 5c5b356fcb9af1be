//go:build !linux && !darwin

package sops

// tells: what of a folder is told is not known here, so that it is looked at often.
func tells(string) bool { return false }
