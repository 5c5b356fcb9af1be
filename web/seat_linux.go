package web

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// seatOf reads from /proc where the peer sits; that it is still the peer of whom it read is asked last. A process without a terminal, or one that is gone, sits
// nowhere; so does a child of a first process (of the machine, or of a container): orphans become its children, and an agent's could pass for the person's. Nor does
// any other program than this one sit anywhere, nor one in the background: the commands that a person types are neither, and an agent that the person's own shell
// started, and that speaks to the socket itself, is.
func seatOf(p Peer) seat {
	f, ok := procStat(p.PID)
	if p.Same == nil || !ok || f.tty == 0 || f.group != f.foreground || !thisProgram(p.PID) {
		return seat{}
	}
	parent, ok := procStat(f.parent)
	if !ok || reaper(f.parent) || !p.Same() {
		return seat{}
	}
	return seat{uid: p.UID, tty: f.tty, session: f.session, parent: f.parent, parentStart: parent.start}
}

// thisProgram tells whether a process runs the file that this one does. A zavhoz of another version, and one that may not be looked at (another user's, root's),
// is another: the worst is that each of its commands is asked for the passphrase.
func thisProgram(pid int) bool {
	mine, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && os.SameFile(mine, its)
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
	group, foreground    int // its process group, and its terminal's foreground one
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
	return stat{parent: num(1), group: num(2), session: num(3), tty: num(4), foreground: num(5), start: start}, err == nil
}
