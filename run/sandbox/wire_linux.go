package sandbox

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// What the daemon, the launcher and a forked child say to each other. All three are ours and trust each other, but lengths and numbers are
// checked all the same: a mistake must end in an error, not in a child with other walls than those that were asked for.

const (
	slotBase  = 256 // the child's descriptors begin here, above all that its steps open
	maxSlots  = 200
	slotImage = slotBase // the recipe
	slotFirst = slotBase + 1

	exitFailed   = 125 // a child that could not do its recipe
	exitNotFound = 127 // … or could not become its command

	requestSign = 0x5a484c31 // "ZHL1"
	requestSize = 6 * 4
	replySize   = 4 * 4
)

// request asks the launcher for a child. The descriptors that come with it become its slots; the first is the recipe. This is also its shape on
// the wire: the launcher has no decoder, only valid.
type request struct {
	sign     uint32
	flags    uint32 // of clone(2): namespaces only
	uid, gid uint32 // with a user namespace: who the child is outside
	next     owner  // who the spare is to be that is forked ahead; {0, 0}: none
}

// owner is a user and a group.
type owner struct{ uid, gid uint32 }

const allNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

var errWire = errors.New("sandbox: a malformed message")

func newRequest(flags uint32, outer, next owner) request {
	return request{requestSign, flags, outer.uid, outer.gid, next}
}

func (q request) encode() []byte {
	b, _ := binary.Append(nil, binary.NativeEndian, []uint32{q.sign, q.flags, q.uid, q.gid, q.next.uid, q.next.gid})
	return b
}

// valid refuses, whoever asks, what would make a child root, or anything else than a process of its own. It runs in the launcher's loop.
//
//go:norace
//go:nosplit
func (q *request) valid(size uintptr) bool {
	return size == requestSize && q.sign == requestSign && q.flags&^allNamespaces == 0 &&
		(q.flags == 0 || q.flags&unix.CLONE_NEWUSER != 0 && somebody(q.uid) && somebody(q.gid)) &&
		(q.next.uid == 0 && q.next.gid == 0 || q.flags == allNamespaces && somebody(q.next.uid) && somebody(q.next.gid))
}

// somebody is neither root nor no user at all.
//
//go:norace
//go:nosplit
func somebody(id uint32) bool { return id != 0 && id != 0xffffffff }

// reply is what the launcher answers; with it comes the child's pidfd.
type reply struct {
	sign  uint32
	errno uint32
	pid   int32
	_     uint32
}

func decodeReply(b []byte) (reply, error) {
	if len(b) != replySize || binary.NativeEndian.Uint32(b) != requestSign {
		return reply{}, errWire
	}
	at := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	a := reply{sign: at(0), errno: at(1), pid: int32(at(2))}
	if a.errno == 0 && a.pid <= 0 || at(3) != 0 {
		return reply{}, errWire
	}
	return a, nil
}

// The notes that come over a child's control socket. Each is three numbers: the kind, and two that mean something to it.
const (
	noteFailed = 0x46 + iota // a step and an errno; the child is gone
	noteBorn                 // with descriptors: the command's pidfd, then the listeners and the terminal
	noteReady                // with a descriptor at basic: the filter's listener
	noteEnded                // a wait status
	goAhead                  // the daemon's only word: one byte
)

const noteSize = 12

type note struct{ kind, a, b uint32 }

func decodeNote(p []byte) (note, error) {
	if len(p) != noteSize {
		return note{}, errWire
	}
	n := note{binary.NativeEndian.Uint32(p), binary.NativeEndian.Uint32(p[4:]), binary.NativeEndian.Uint32(p[8:])}
	if n.kind < noteFailed || n.kind > noteEnded {
		return note{}, errWire
	}
	return n, nil
}
