package web

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// seatOf reads from /proc where the peer sits. A process without a terminal, or one that is gone, sits nowhere; so does a child of a first process (of the
// machine, or of a container): orphans become its children, and an agent's could pass for the person's.
func seatOf(p Peer) seat {
	f, ok := procStat(p.PID)
	if !ok || f.tty == 0 {
		return seat{}
	}
	parent, ok := procStat(f.parent)
	if !ok || reaper(f.parent) {
		return seat{}
	}
	return seat{uid: p.UID, tty: f.tty, session: f.session, parent: f.parent, parentStart: parent.start}
}

// reaper tells whether a process is the first of its pid namespace. Where that cannot be read it is taken for one.
func reaper(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || pid == 1 {
		return true
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			ids := bytes.Fields(rest)
			return len(ids) == 0 || string(ids[len(ids)-1]) == "1"
		}
	}
	return false // a kernel without pid namespaces
}

type stat struct {
	parent, session, tty int
	start                uint64
}

// procStat reads /proc/PID/stat.
func procStat(pid int) (stat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid <= 0 || err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// parseStat reads the fields (proc(5)) after the last ")", for the name before it may hold anything.
func parseStat(b []byte) (stat, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, false
	}
	f := bytes.Fields(b[i+1:])
	if len(f) < 20 {
		return stat{}, false
	}
	num := func(k int) int { n, _ := strconv.Atoi(string(f[k])); return n }
	start, err := strconv.ParseUint(string(f[19]), 10, 64)
	return stat{parent: num(1), session: num(3), tty: num(4), start: start}, err == nil
}
