package sandbox

import (
	"math/rand/v2"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// agent is who a command is inside its namespace, whoever it is outside.
var agent = owner{1000, 1000}

const (
	agentName = "agent"
	agentHome = "/home/agent"

	// A daemon that may choose gives each run a user of its own from here on: above what containers and systemd take, below 2³¹.
	firstRunID = 1_900_000_000
	runIDs     = 1 << 26
)

// identities gives away the users of runs.
type identities struct {
	own    owner
	choose bool // the daemon may become anybody: root, or with the capabilities of mayChoose

	mu    sync.Mutex
	taken map[uint32]bool
	spare uint32 // of a child that was forked ahead; 0: none
}

func newIdentities() *identities {
	ids := &identities{own: owner{uint32(os.Geteuid()), uint32(os.Getegid())}, taken: map[uint32]bool{}}
	ids.choose = mayChoose()
	return ids
}

// mayChoose looks at the effective capabilities: root in a container may have none.
func mayChoose() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return false
	}
	const need = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL // the last two: to hand it its streams, and to end it
	return data[0].Effective&need == need
}

// take gives the user that a run has outside. It starts at a random place: files or processes of an earlier run must not find their owner again.
func (ids *identities) take() (owner, bool) {
	if !ids.choose {
		return ids.own, ids.own.uid != 0 // root that cannot become anybody else is never mapped into a box
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if id := ids.spare; id != 0 {
		ids.spare = 0
		return owner{id, id}, true
	}
	return ids.fresh(), true
}

// fresh runs under mu.
func (ids *identities) fresh() owner {
	for {
		if id := firstRunID + rand.Uint32N(runIDs); !ids.taken[id] {
			ids.taken[id] = true
			return owner{id, id}
		}
	}
}

// next is who the launcher's spare is to be. It stays the same until a box takes it.
func (ids *identities) next() owner {
	if !ids.choose {
		return ids.own
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.spare == 0 {
		ids.spare = ids.fresh().uid
	}
	return owner{ids.spare, ids.spare}
}

func (ids *identities) give(o owner) {
	ids.mu.Lock()
	delete(ids.taken, o.uid)
	ids.mu.Unlock()
}
