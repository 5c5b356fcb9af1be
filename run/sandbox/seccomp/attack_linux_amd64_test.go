package seccomp_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

func init() {
	foreign["int80"] = func(args []string) {
		call := machineCode()
		confine(args[0])
		call()
		fmt.Println("survived")
	}
	foreign["x32"] = func(args []string) {
		confine(args[0])
		_, _, errno := unix.RawSyscall(0x40000000|unix.SYS_GETPID, 0, 0, 0)
		fmt.Println("survived", errno)
	}
	foreign["exec"] = func(args []string) { runUnder(args[0], args[1:]) }
}

// machineCode is getpid by the 32-bit entry: mov eax, 20; int 0x80; ret. It touches no register that Go keeps.
func machineCode() func() {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		walltest.Fail("mmap: %v", err)
	}
	copy(page, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3})
	entry := &page[0]
	closure := unsafe.Pointer(&entry) // a func is a pointer to a pointer to code
	return *(*func())(unsafe.Pointer(&closure))
}

// i386 is a whole 32-bit program: exit(0) by int 0x80.
func i386() []byte {
	const base, head = 0x08048000, 52 + 32
	code := []byte{0x31, 0xdb, 0x31, 0xc0, 0x40, 0xcd, 0x80} // xor ebx, ebx; xor eax, eax; inc eax; int 0x80
	b := []byte{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for _, half := range []uint16{2, 3} { // executable, 80386
		b = binary.LittleEndian.AppendUint16(b, half)
	}
	for _, w := range []uint32{1, base + head, 52, 0, 0} { // version, entry, program headers, no sections, no flags
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	for _, half := range []uint16{52, 32, 1, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint16(b, half)
	}
	size := uint32(head + len(code))
	for _, w := range []uint32{1, 0, base, base, size, size, 5, 4096} { // load all of it, readable and executable
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return append(b, code...)
}

func TestAttack14_TheThirtyTwoBitEntryEndsTheProcess(t *testing.T) { ends(t, "int80") }

func TestAttack14_AThirtyTwoBitProgramEnds(t *testing.T) { ends(t, "exec", writeProgram(t, i386())) }

func TestAttack14_X32EndsTheProcess(t *testing.T) { ends(t, "x32") }
