package ssh

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// allow decides on what a session is for, and gives what goes to the server: under patterns that is exactly what was compared. There is no terminal then,
// as a pager on a terminal is a shell.
func (o *BastionOptions) allow(a ask, terminal bool) (ask, error) {
	if o.Exec == nil {
		return a, nil
	}
	if terminal && a.kind != KindShell {
		return a, o.commandsOnly("a terminal", "leave out -t")
	}
	switch a.kind {
	case KindShell:
		return a, o.commandsOnly("a shell", "")
	case KindSubsystem:
		if o.Copy && a.text == "sftp" {
			return a, nil
		}
		return a, o.commandsOnly("the subsystem "+a.text, o.copyNext())
	}
	a.line = unquote(a.text)
	if copies(a.line) {
		if o.Copy && copyLine(a.line) {
			return a, nil
		}
		if err := o.Exec(a.line); err != nil {
			return a, o.commandsOnly("copying", o.copyNext())
		}
		return a, nil
	}
	return a, o.Exec(a.line)
}

func (o *BastionOptions) commandsOnly(what, next string) error {
	if next == "" {
		next = "name one of its commands: ssh " + o.Handle + " COMMAND"
	}
	return fault.New(fault.CommandNotPinned, o.Handle+" takes certain commands only: "+what+" is not among them", next)
}

func (o *BastionOptions) copyNext() string {
	if o.Copy {
		return "sftp, scp and rsync pass, with plain paths and without options that start something else"
	}
	return "a person who wants files copied to and from it allows that: zavhoz resource policy " + o.Handle + " --sftp"
}

// unquote takes the single quotes off words that would be the same without them, as git puts them around a path: patterns compare plain words. Any
// other line comes back as it is, for the patterns to refuse.
func unquote(line string) string {
	if !strings.Contains(line, "'") {
		return line
	}
	words := strings.Split(line, " ")
	for i, w := range words {
		if len(w) < 3 || w[0] != '\'' || w[len(w)-1] != '\'' {
			continue
		}
		inner := w[1 : len(w)-1]
		if plain(inner, quotedChars, maxLine) {
			words[i] = inner
		}
	}
	return strings.Join(words, " ")
}

// quotedChars mean themselves to every shell, quoted or not.
const quotedChars = pathChars + "+,:@%="

// copies tells whether a line is the far side of a copying program.
func copies(line string) bool {
	return strings.HasPrefix(line, "scp -") || strings.HasPrefix(line, "rsync --server ") || strings.HasPrefix(line, "rsync --server\t")
}

// copyLine tells whether a line is one that scp or rsync itself sends, of plain words: what a shell acts on would make a command of it, and rsync as a daemon
// runs what its configuration names.
func copyLine(line string) bool {
	words := strings.Split(line, " ")
	if words[0] == "scp" {
		return scpLine(words[1:])
	}
	for _, w := range words[1:] {
		if !plainArgument(w) || w == "--daemon" || strings.HasPrefix(w, "--config") || strings.HasPrefix(w, "--dparam") || strings.HasPrefix(w, "--rsh") {
			return false
		}
	}
	return true
}

// scpLine wants flags of the far side, one of them its direction, and one path.
func scpLine(words []string) bool {
	far := false
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		if strings.Trim(words[0][1:], "tfrpdvq-") != "" || words[0] == "-" {
			return false
		}
		far = far || strings.ContainsAny(words[0], "tf")
		if words[0] == "--" {
			words = words[1:]
			break
		}
		words = words[1:]
	}
	return far && len(words) == 1 && plainArgument(words[0])
}

func plainArgument(w string) bool { return w != "" && strings.Trim(w, quotedChars) == "" }
