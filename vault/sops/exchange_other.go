//go:build !linux && !darwin

package sops

import "errors"

// exchange: no system but these exchanges two names.
func exchange(string, string) error { return errors.ErrUnsupported }
