package landlock

import "golang.org/x/sys/unix"

// Attributes is struct landlock_ruleset_attr up to what ABI 6 knows: masks of LANDLOCK_ACCESS_FS_*, LANDLOCK_ACCESS_NET_* and LANDLOCK_SCOPE_*. An
// older kernel takes it too, while what it does not know is zero.
type Attributes struct{ Files, Net, Scoped uint64 }

// Handled is what a ruleset judges, by what the kernel has: what is handled and not granted is denied.
func Handled(abi int, net bool) Attributes {
	var a Attributes
	a.Files = 1<<13 - 1 // up to making symbolic links: ABI 1
	for _, more := range []struct {
		abi  int
		bits uint64
	}{
		{ABIRefer, unix.LANDLOCK_ACCESS_FS_REFER},
		{ABITruncate, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{ABIDevices, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{ABIUnix, unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX},
	} {
		if abi >= more.abi {
			a.Files |= more.bits
		}
	}
	if net && abi >= ABINet {
		a.Net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if net && abi >= ABIUDP {
		a.Net |= unix.LANDLOCK_ACCESS_NET_BIND_UDP | unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP
	}
	if abi >= ABIScope {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// ABI is the kernel's Landlock version, 0 where there is none.
func ABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}
