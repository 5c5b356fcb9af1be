package egress

import "syscall"

// errTooMany says that no socket is free for a connection: some will be (WSAEMFILE).
const errTooMany = syscall.Errno(10024)
