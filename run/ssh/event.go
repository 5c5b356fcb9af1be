package ssh

import (
	"sync"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Kind says what a client asked a bastion or an agent for. The names are frozen: they stand in the audit.
type Kind string

// The kinds of an Event.
const (
	KindExec      Kind = "exec"      // a command
	KindShell     Kind = "shell"     // a login shell
	KindSubsystem Kind = "subsystem" // Command is its name
	KindDenied    Kind = "denied"    // What says what was refused
	KindSign      Kind = "sign"      // the restricted agent signed a login
	KindJump      Kind = "jump"      // a tunnel of the run's own ssh; What is the port, Target the host
)

// Event is one thing that a client did, for the audit: recorded before it begins, and when it has ended once more, with Ended.
type Event struct {
	Handle   string
	Kind     Kind
	What     string     // of a denial: "direct-tcpip", "agent-forwarding", "command", …: our own words
	Target   string     // of a jump: the host as the client named it, masked
	Command  string     // masked, then cut to 512 bytes
	Terminal bool       // a terminal was made for it
	Ended    bool       // Exit, Code, Sent, Received and Masked are known
	Exit     Exit       // Code is -1 where it is not known, as the client went away
	Code     fault.Code // why it did not run or run to its end; "" if it did
	Sent     int64      // to the server, bytes
	Received int64      // from the server, bytes, before masking
	Masked   bool       // what came back was changed; told of terminals and protocols with frames only
	Count    int        // of a denial: how many of the same there have been; repeated ones are recorded at powers of two
}

// maxTold is how much of a command an event holds, in bytes.
const maxTold = 512

// tally records denials: the first of a kind, and then ever more rarely, so that a flood of them does not fill the audit.
type tally struct {
	record func(Event) error
	handle string
	mu     sync.Mutex
	seen   map[string]int
}

func newTally(record func(Event) error, handle string) *tally {
	return &tally{record: record, handle: handle, seen: map[string]int{}}
}

// deny records that what was refused. What comes from a fixed set of words, never from the client.
func (t *tally) deny(what, command string, code fault.Code) error {
	t.mu.Lock()
	t.seen[what]++
	n := t.seen[what]
	t.mu.Unlock()
	if n&(n-1) != 0 {
		return nil
	}
	return t.record(Event{Handle: t.handle, Kind: KindDenied, What: what, Command: command, Code: code, Count: n})
}
