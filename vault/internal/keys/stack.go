package keys

// room is more than hashes and ciphers take of a stack, in bytes.
const room = 16 << 10

// OverwriteStack clears the part of this goroutine's stack that is not in use: there lie the frames of what was called before, with the blocks and states of hashes and ciphers. Call it before them
// as well: a stack that grows leaves its former self behind as it is.
//
//go:noinline
func OverwriteStack() {
	var b [room]byte
	overwrite(b[:])
}

// overwrite is apart, or the compiler would see that nothing reads what is written.
//
//go:noinline
func overwrite(b []byte) { clear(b) }
