//go:build !windows

package egress

import "syscall"

// errTooMany says that no descriptor is free for a connection: some will be.
const errTooMany = syscall.EMFILE
