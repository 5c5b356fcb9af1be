package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"

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
	requestSize = 7 * 4
	replySize   = 4 * 4
)

// request asks the launcher for a child. The descriptors that come with it become its slots; the first is the recipe.
type request struct {
	flags        uint32 // of clone(2): namespaces only
	inner, outer owner  // with a user namespace: who the child is inside and outside
	setgroups    bool   // leave setgroups(2) to the namespace: only where outer is nobody else's identity
}

// owner is a user and a group.
type owner struct{ uid, gid uint32 }

const allNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

var errWire = errors.New("sandbox: a malformed message")

func (q request) encode() []byte {
	b := make([]byte, 0, requestSize)
	set := uint32(0)
	if q.setgroups {
		set = 1
	}
	for _, v := range []uint32{requestSign, q.flags, q.inner.uid, q.inner.gid, q.outer.uid, q.outer.gid, set} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// decodeRequest refuses what would map the child to root, whoever asks.
func decodeRequest(b []byte) (q request, err error) {
	if len(b) != requestSize || binary.LittleEndian.Uint32(b) != requestSign {
		return q, errWire
	}
	at := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	q = request{flags: at(1), inner: owner{at(2), at(3)}, outer: owner{at(4), at(5)}, setgroups: at(6) == 1}
	switch {
	case q.flags&^allNamespaces != 0 || at(6) > 1:
		return request{}, fmt.Errorf("%w: flags", errWire)
	case q.flags&unix.CLONE_NEWUSER == 0 && q.flags != 0:
		return request{}, fmt.Errorf("%w: namespaces without a user namespace", errWire)
	case q.flags&unix.CLONE_NEWUSER != 0 && (q.outer.uid == 0 || q.outer.gid == 0 || q.inner.uid == ^uint32(0) || q.outer.uid == ^uint32(0)):
		return request{}, fmt.Errorf("%w: identity", errWire)
	}
	return q, nil
}

// reply is what the launcher answers; with it comes the child's pidfd.
type reply struct {
	errno unix.Errno
	stage stage
	pid   int32
}

// stage names what failed in the launcher.
type stage uint32

const (
	stageNone stage = iota
	stageRequest
	stageFork
	stageMaps
)

var stages = [...]string{"", "request", "clone", "uid and gid maps"}

func (s stage) String() string {
	if int(s) < len(stages) {
		return stages[s]
	}
	return "unknown"
}

func (a reply) encode() []byte {
	b := make([]byte, 0, replySize)
	for _, v := range []uint32{requestSign, uint32(a.errno), uint32(a.stage), uint32(a.pid)} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func decodeReply(b []byte) (reply, error) {
	if len(b) != replySize || binary.LittleEndian.Uint32(b) != requestSign {
		return reply{}, errWire
	}
	at := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	a := reply{unix.Errno(at(1)), stage(at(2)), int32(at(3))}
	if a.errno == 0 && a.pid <= 0 {
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
