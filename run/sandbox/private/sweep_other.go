//go:build !linux && !darwin

package private

import "os"

// hold opens nothing: folders take no locks here.
func hold(string) (*os.File, error) { return nil, nil }

// Sweep removes nothing: nobody could tell whether a folder's maker lives.
func Sweep(string) error { return nil }

// Remove removes a folder with all that is in it.
func Remove(dir string) error { return os.RemoveAll(dir) }
