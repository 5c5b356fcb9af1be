// Package landlock confines the calling thread and what it executes to the files and ports that a run was given, by Landlock.
//
// Promise: what is not named cannot be read, written, executed, linked or renamed; other processes cannot be traced or, from ABI 6, signalled;
// abstract unix sockets outside cannot be reached (ABI 6). What the kernel lacks is left out down to the floor that the caller names, below
// which Restrict refuses.
//
// Attacks stopped (threat-model.md): files left for the next run (6), hooks and start-up files of others (7), abstract sockets (15), another
// process's environment and memory (17, 18, 19), signals to the broker (28).
package landlock

import (
	"errors"
)

// Rules are what stays allowed. A path that does not exist grants nothing; any other trouble with one refuses the whole.
type Rules struct {
	Floor   int      // least ABI that the caller accepts; below it Restrict fails
	Read    []string // files and trees that may be read; symbolic links are followed
	Exec    []string // … read and executed; symbolic links are followed
	Work    []string // … read and executed; a symbolic link anywhere in the path refuses: what a person allowed was resolved then
	Write   []string // … read, changed, made and removed, not executed; no symbolic link, as Work. Name it in Work too where programs in it may run
	Devices []string // device files and trees of them: read, written, ioctl(2)
	Inodes  []int    // open descriptors whose file may be read and executed
	// DenyNet handles TCP (ABI 4) and UDP (ABI 10): only the ports below stay. Without it the network is left to others.
	DenyNet      bool
	ConnectPorts []uint16
	BindPorts    []uint16
}

// The sentinels of this package.
var (
	ErrUnsupported = errors.New("landlock: this kernel has none")
	ErrFloor       = errors.New("landlock: this kernel's ABI is below the floor")
)
