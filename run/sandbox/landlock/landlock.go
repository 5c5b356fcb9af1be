// Package landlock confines the calling thread, and what it executes, to the files and ports that a run was given.
//
// Promise: what is not named cannot be read, written, executed, made, removed, linked or renamed, whatever the file's owner and mode say;
// processes outside cannot be traced, nor their environment read, nor, from ABI 6 on, can they be signalled, or their abstract unix sockets reached;
// from ABI 9 on the same goes for their pathname sockets. What the kernel lacks is left out down to the floor that the caller names, below
// which Restrict refuses. There is no way back: a thread can only be confined further.
//
// Attacks stopped (threat-model.md): files left for the next run (6), hooks and start-up files of others (7), abstract sockets (15), another
// process's environment and memory (17, 18, 19), signals to the broker (28).
//
// Limits: Landlock judges neither a file's metadata (chmod, chown, times, extended attributes of what the user owns) nor stat, chdir and access;
// where a path leads can be seen, not read. A process that keeps CAP_PERFMON sees the memory of others all the same: drop the capabilities first.
// TCP is judged by port, not by address, and listening without bind not at all: packages seccomp and connect close that. Descriptors that are
// already open keep what they can do.
package landlock

import "errors"

// Rules are what stays allowed, by absolute paths. One that does not exist, or that the user cannot reach, grants nothing; any other trouble with
// one refuses the whole. A tree includes what is mounted in it.
type Rules struct {
	Floor   int      // the least ABI that the caller accepts; below it Restrict fails. 0 means 1
	Read    []string // files and trees that may be read. Symbolic links are followed: for the system's own
	Exec    []string // … read and executed. Symbolic links are followed
	Work    []string // … read and executed. A symbolic link anywhere in the path refuses: whoever may write beside it would choose the tree
	Write   []string // … read, changed, made, removed and renamed, not executed; no symbolic link, as with Work. In both lists: all of it
	Devices []string // device files, or trees of them: read, written, ioctl(2); no symbolic link
	Inodes  []int    // open descriptors, whose files may be read and executed: a checked binary, wherever it lies
	// DenyNet handles TCP (from ABI 4) and UDP (from ABI 10): only the ports below stay, of any address. Without it the network is left to others.
	DenyNet      bool
	ConnectPorts []uint16
	BindPorts    []uint16
}

// The ABI versions that a floor may want, by what they brought.
const (
	ABIRefer    = 2  // links and renames between folders
	ABITruncate = 3  // emptying a file without opening it for writing
	ABINet      = 4  // TCP ports
	ABIDevices  = 5  // ioctl(2) on devices
	ABIScope    = 6  // abstract unix sockets and signals
	ABIUnix     = 9  // pathname unix sockets
	ABIUDP      = 10 // UDP ports
)

// The sentinels of this package.
var (
	ErrUnsupported = errors.New("landlock: this kernel has none")
	ErrFloor       = errors.New("landlock: this kernel's version is below the floor")
	ErrPath        = errors.New("landlock: a rule cannot be made of this path")
)
