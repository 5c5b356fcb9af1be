// Package cgroup gives a run a control group of its own, where this process may make one.
//
// Promise: what is started in the group cannot leave it, whatever sessions and parents it makes for itself; Kill ends all of it at once, and Close
// leaves nothing behind; what a killed process could not close, Sweep of the next one does. Memory, processes and processor time are bounded where the controllers are there for this process; Group.Holds tells which,
// so that the caller puts limits of its own (rlimits) in the place of the rest.
//
// Attacks stopped (threat-model.md): a descendant that outlives the run (33). A run that takes the machine's memory or process numbers is
// bounded too.
//
// Limits: needs cgroup v2, and a group that root or a delegation (systemd's Delegate=) lets us make others in. A program that is root, or that
// may write to the same tree, could leave: the walls around it must not show it /sys. The kernel enables controllers only below a group that
// has no processes itself: under systemd that is Delegate=yes with DelegateSubgroup=daemon.
package cgroup

import "errors"

// Limits are what a group may use. Zero leaves a limit out.
type Limits struct {
	MemoryBytes int64 // swap is shut off; above it the whole run is killed
	Processes   int   // threads count
	CPUPercent  int   // of one processor: 150 is one and a half
}

// Held tells which limits the kernel enforces in a group.
type Held struct{ Memory, Processes, CPU bool }

// The sentinels of this package.
var (
	ErrUnavailable = errors.New("cgroup: this process may make no group")
	ErrName        = errors.New("cgroup: a name has letters, digits, _ and - only")
)

// goodName keeps a name from being a path.
func goodName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 100
}
