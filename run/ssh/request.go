package ssh

import (
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Bounds of what a client may ask with, in bytes.
const (
	maxLine  = 128 << 10 // a command; Linux takes no longer argument
	maxWord  = 64        // names of terminals, subsystems, variables; values of variables
	maxModes = 1 << 10   // the terminal's modes
	maxVars  = 32        // variables
)

// terminal is a pty-req as it goes to the server.
type terminal struct {
	Term          string
	Columns, Rows uint32
	Width, Height uint32 // pixels
	Modes         string
}

// size is a window-change.
type size struct{ Columns, Rows, Width, Height uint32 }

// variable is an env request.
type variable struct{ Name, Value string }

// Sets of characters of what goes to the server unseen by a pattern.
const (
	wordChars   = userChars + "+"
	localeChars = userChars + "@:"
)

func parseTerminal(payload []byte) (t terminal, ok bool) {
	if xssh.Unmarshal(payload, &t) != nil || len(t.Modes) > maxModes {
		return terminal{}, false
	}
	if t.Term != "" && !plain(t.Term, wordChars, maxWord) {
		t.Term = "dumb"
	}
	return t, true
}

// parseVariable takes what tells of language and terminal, where the value looks like it, and nothing else: a server that accepts more could be steered by
// it past the patterns of commands (threat-model.md 23).
func parseVariable(payload []byte) (v variable, ok bool) {
	if len(payload) > 1<<10 || xssh.Unmarshal(payload, &v) != nil {
		return v, false
	}
	if v.Name != "LANG" && v.Name != "TERM" && !strings.HasPrefix(v.Name, "LC_") {
		return v, false
	}
	return v, plain(v.Name, userChars, maxWord) && plain(v.Value, localeChars, maxWord)
}

// parseSignal takes the signals of RFC 4254.
func parseSignal(payload []byte) (name string, ok bool) {
	var m struct{ Signal string }
	if xssh.Unmarshal(payload, &m) != nil {
		return "", false
	}
	_, ok = signals[m.Signal]
	return m.Signal, ok
}

// ask is what a session is for.
type ask struct {
	kind Kind
	text string // the command or the subsystem's name
	line string // of a command: what goes to the server; see lineOf
}

// parseAsk reads an exec, shell or subsystem request.
func parseAsk(r *xssh.Request) (a ask, err error) {
	a.kind = Kind(r.Type)
	if a.kind == KindShell {
		return a, nil
	}
	var m struct{ Text string }
	if xssh.Unmarshal(r.Payload, &m) != nil {
		return a, fault.New(fault.InvalidArgument, "the request cannot be read", "")
	}
	a.text, a.line = m.Text, m.Text
	switch {
	case a.kind == KindSubsystem && !plain(m.Text, localeChars, maxWord):
		a.text = ""
		return a, fault.New(fault.InvalidArgument, "the name of a subsystem has letters, digits, `_`, `.`, `@`, `:` and `-`", "")
	case len(m.Text) > maxLine:
		a.text = m.Text[:maxLine]
		return a, fault.New(fault.TooLarge, "the remote command is too long", "send it by stdin: ssh HANDLE sh < script").With("max_bytes", maxLine)
	case strings.ContainsRune(m.Text, 0):
		return a, fault.New(fault.InvalidArgument, "a remote command cannot hold a zero byte", "")
	}
	return a, nil
}

// payload is what the server is sent.
func (a ask) payload() []byte {
	if a.kind == KindShell {
		return nil
	}
	return xssh.Marshal(struct{ Text string }{a.line})
}
