package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A recipe is what a forked child does between its birth and the command's start, as a list of system calls: no Go runtime, no allocation, no
// thread besides the one. The daemon writes it, with every string and structure that the calls point to, into a memory file laid out for one
// address; the child maps the file there and performs it (perform_linux.go). Neither the launcher nor the child parses anything.
const (
	imageAt   = 0x10_0000_0000 // where children map the recipe: far below Go's heap, and within 39-bit address spaces
	stepsAt   = 64             // after the header
	dataAt    = 1 << 18        // after the last possible step
	imageMax  = 1 << 22
	maxSteps  = (dataAt - stepsAt) / int(unsafe.Sizeof(step{}))
	imageSign = 0x5a41_5648 // "ZAVH"

	commandAt  = 0x11_0000_0000 // where the command's arguments and environment are mapped, by the process that becomes it and no other
	commandMax = 1 << 23
)

// header begins the image.
type header struct{ sign, steps, size, control uint32 }

// step is one system call, or one of the pseudo calls below.
type step struct {
	nr     int32
	refs   uint8 // bit i: args[i] is the address of a cell, and the cell's value the argument
	flags  uint8
	errnos [2]uint16 // that are no failure
	target int32     // step to go on with, as flags say
	args   [6]uint64
	dst    uint64 // address of the cell that takes the result; 0: none
	want   int64  // the result that is no failure, with flagWant
}

const (
	flagMayFail  = 1 << iota // any error is no failure
	flagOnError              // on a listed error go to target
	flagOnZero               // on the result 0 go to target: the child's side of a fork
	flagWant                 // any result but want is a failure
	flagMustFail             // success is a failure: a wall that does not hold
)

// The pseudo calls. Their arguments are values unless refs says otherwise.
const (
	opJump     = -1 - iota // go to target
	opJumpSame             // go to target where args[0] = args[1]
	opSet                  // cell dst takes args[0]
	opCompare              // args[2] bytes at args[0] and args[1] must be the same
	opKillOwn              // kill every child that the text at args[0] (args[1] bytes) of a children file names
)

type (
	addr uint64 // of something in the image, as a child sees it
	cell uint64 // address of an int32 in the image that steps fill and read: a descriptor, a process
)

// label is a place in a recipe.
type label struct{ at int32 }

type recipe struct {
	steps  []step
	what   []string // for errors, by step
	jumps  map[int]*label
	data   []byte
	known  map[string]addr
	slots  []*os.File // what the child gets, from slotBase on
	closes []*os.File // of these, ours to close once the child has them
}

func newRecipe() *recipe {
	return &recipe{jumps: map[int]*label{}, known: map[string]addr{}}
}

// call adds a system call. Arguments: int, uintptr, addr, cell (its value) and slot numbers as int.
func (r *recipe) call(what string, nr int, args ...any) *step {
	s := step{nr: int32(nr)}
	for i, a := range args {
		switch v := a.(type) {
		case int:
			s.args[i] = uint64(v)
		case uint64:
			s.args[i] = v
		case uintptr:
			s.args[i] = uint64(v)
		case addr:
			s.args[i] = uint64(v)
		case cell:
			s.args[i], s.refs = uint64(v), s.refs|1<<i
		default:
			panic("sandbox: no such argument")
		}
	}
	r.steps, r.what = append(r.steps, s), append(r.what, what)
	return &r.steps[len(r.steps)-1]
}

// into stores the result.
func (s *step) into(c cell) *step { s.dst = uint64(c); return s }

// unless tells up to two errors that are no failure.
func (s *step) unless(errs ...unix.Errno) *step {
	for i, e := range errs {
		s.errnos[i] = uint16(e)
	}
	return s
}

func (s *step) mayFail() *step { s.flags |= flagMayFail; return s }

// must asks for an exact result.
func (s *step) must(n int) *step { s.flags, s.want = s.flags|flagWant, int64(n); return s }

// refused asks for the error e.
func (s *step) refused(e unix.Errno) *step { s.flags |= flagMustFail; return s.unless(e) }

// onZero and onError jump from the step that was added last.
func (r *recipe) onZero(l *label)                    { r.jump(flagOnZero, l) }
func (r *recipe) onError(l *label, e ...unix.Errno)  { r.jump(flagOnError, l).unless(e...) }
func (r *recipe) goTo(l *label)                      { r.call("jump", opJump); r.jump(0, l) }
func (r *recipe) goToIfSame(a, b any, l *label)      { r.call("compare", opJumpSame, a, b); r.jump(0, l) }
func (r *recipe) mark(l *label)                      { l.at = int32(len(r.steps)) }
func (r *recipe) set(c cell, v any)                  { r.call("set", opSet, v).into(c) }
func (r *recipe) same(what string, a, b addr, n int) { r.call(what, opCompare, a, b, n) }

func (r *recipe) jump(flag uint8, l *label) *step {
	n := len(r.steps) - 1
	r.steps[n].flags |= flag
	r.jumps[n] = l
	return &r.steps[n]
}

// bytes puts data into the image.
func (r *recipe) bytes(b []byte) addr {
	for len(r.data)%8 != 0 {
		r.data = append(r.data, 0)
	}
	at := imageAt + dataAt + len(r.data)
	r.data = append(r.data, b...)
	return addr(at)
}

// str puts a path or a name into the image, once.
func (r *recipe) str(s string) addr {
	at, ok := r.known[s]
	if !ok {
		at = r.bytes(append([]byte(s), 0))
		r.known[s] = at
	}
	return at
}

func (r *recipe) room(n int) addr { return r.bytes(make([]byte, n)) }
func (r *recipe) cell() cell      { return cell(r.room(8)) }

// at writes v at an offset of something that is in the image already.
func (r *recipe) at(a addr, off int, v any) {
	b, _ := binary.Append(nil, binary.NativeEndian, v) // fixed sizes only
	copy(r.data[int(a)-imageAt-dataAt+off:], b)
}

// pass hands a descriptor to the child and gives its number there. It stays the caller's.
func (r *recipe) pass(f *os.File) int {
	r.slots = append(r.slots, f)
	return slotBase + len(r.slots) - 1
}

// give is pass for a descriptor that the recipe closes.
func (r *recipe) give(f *os.File) int {
	r.closes = append(r.closes, f)
	return r.pass(f)
}

func (r *recipe) close() {
	for _, f := range r.closes {
		_ = f.Close()
	}
	r.closes = nil
}

// image writes the memory file. control is the descriptor that the child reports failures on.
func (r *recipe) image(control int) (*os.File, error) {
	if len(r.steps) > maxSteps || dataAt+len(r.data) > imageMax {
		return nil, fmt.Errorf("sandbox: a recipe of %d steps and %d bytes", len(r.steps), len(r.data))
	}
	for n, l := range r.jumps {
		r.steps[n].target = l.at
	}
	size := dataAt + len(r.data)
	head := header{imageSign, uint32(len(r.steps)), uint32(size), uint32(control)}
	f, err := memoryFile("zavhoz-recipe")
	if err != nil {
		return nil, err
	}
	steps := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(r.steps))), len(r.steps)*int(unsafe.Sizeof(step{})))
	for _, part := range []struct {
		at int64
		b  []byte
	}{{0, unsafe.Slice((*byte)(unsafe.Pointer(&head)), unsafe.Sizeof(head))}, {stepsAt, steps}, {dataAt, r.data}} {
		if _, err := f.WriteAt(part.b, part.at); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("sandbox: recipe: %w", err)
		}
	}
	return f, nil
}

// memoryFile never touches a disk (swap aside).
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("sandbox: memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
