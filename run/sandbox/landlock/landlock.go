// Package landlock knows what Landlock judges: which rights a kernel of each ABI version handles, of files, of ports and of processes.
//
// Promise: what is handled and not granted is denied. What is not named cannot be read, written, executed, made, removed, linked or renamed, whatever
// the file's owner and mode say; processes outside cannot be traced, nor their environment read, nor, from ABI 6 on, can they be signalled, or their
// abstract unix sockets reached; from ABI 9 on the same goes for their pathname sockets. What the kernel lacks is left out. The calls are made by
// package sandbox, in a child where no Go runs; this package's tests make them on a thread of their own and hold the kernel to every word of this.
//
// Attacks stopped (threat-model.md): files left for the next run (6), hooks and start-up files of others (7), abstract sockets (15), another
// process's environment and memory (17, 18, 19), signals to the broker (28).
//
// Limits: Landlock judges neither a file's metadata (chmod, chown, times, extended attributes of what the user owns) nor stat, chdir and access;
// where a path leads can be seen, not read. A process that keeps CAP_PERFMON sees the memory of others all the same: drop the capabilities first.
// TCP is judged by port, not by address, and listening without bind not at all: packages seccomp and connect close that. Descriptors that are
// already open keep what they can do.
package landlock

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
