package landlock

// ABI is the kernel's Landlock version, 0 where there is none.
func ABI() int { return 0 }

// Restrict confines the calling thread, and all that it will start, for good. It sets no_new_privs.
func Restrict(Rules) error { return ErrUnsupported }
