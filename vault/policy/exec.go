package policy

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// meta is what a remote shell acts on. A command that is checked against patterns has none of it: what the words look like here is then what the
// server's shell makes of them.
const meta = "$`\"'\\;&|<>(){}[]*?!#~^\n\r\t\x00"

// maxCommand is the longest remote command that patterns are tried on, in bytes.
const maxCommand = 8 << 10

const execSyntax = "write words apart by single blanks, with holes: `systemctl status {unit:slug}`"

// parseExec reads a pattern of remote commands: words apart by single blanks, holes as in a pin.
func parseExec(pattern string) ([]element, error) {
	refused := func(why string) error { return bad("a command pattern is not valid: "+why, execSyntax) }
	if pattern == "" || len(pattern) > maxCommand || strings.TrimSpace(pattern) != pattern || strings.Contains(pattern, "  ") {
		return nil, refused("it is empty, too long, or has stray blanks")
	}
	elements, err := parseArgv(strings.Split(pattern, " "))
	if err != nil {
		return nil, refused(err.Error())
	}
	for _, e := range elements {
		if strings.ContainsAny(e.literal, meta) || (e.hole != nil && strings.ContainsAny(e.hole.head, meta)) {
			return nil, refused("a shell on the server would act on one of its characters")
		}
	}
	if elements[0].hole != nil || strings.Contains(elements[0].literal, "=") {
		return nil, refused("its first word names the program, and is no hole and no assignment")
	}
	if err := checkScripts(elements, false); err != nil {
		return nil, err
	}
	return elements, nil
}

// MatchExec tells whether a remote command is allowed. No patterns allow any; with patterns, the command is plain words apart by single blanks, as
// a shell on the server would act on anything else.
func MatchExec(patterns []string, command string) error {
	if len(patterns) == 0 {
		return nil
	}
	if len(command) > maxCommand || strings.ContainsAny(command, meta) || strings.ContainsFunc(command, notPlain) {
		return fault.New(fault.CommandMismatch, "this server takes only certain commands, as plain words without quotes or anything a shell acts on", "call it as one of: "+strings.Join(patterns, " · "))
	}
	words := strings.Split(command, " ")
	for _, p := range patterns {
		elements, err := parseExec(p)
		if err != nil {
			return err
		}
		if _, err := matchElements(elements, words); err == nil {
			return nil
		}
	}
	return fault.New(fault.CommandNotPinned, "the command is not one that the operator allows on this server", "it takes: "+strings.Join(patterns, " · "))
}
