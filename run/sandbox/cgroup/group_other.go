//go:build !linux

package cgroup

// Group exists on Linux only.
type Group struct{}

// Available tells that only Linux has control groups.
func Available() (ok bool, reason string) { return false, "only Linux has control groups" }

// New refuses.
func New(string, Limits) (*Group, error) { return nil, ErrUnavailable }

// Sweep has nothing to do.
func Sweep() error { return nil }

// Holds gives nothing: there is no group.
func (*Group) Holds() Held { return Held{} }

// FD is no descriptor.
func (*Group) FD() int { return -1 }

// Add refuses.
func (*Group) Add(int) error { return ErrUnavailable }

// Kill refuses.
func (*Group) Kill() error { return ErrUnavailable }

// Close does nothing.
func (*Group) Close() error { return nil }
