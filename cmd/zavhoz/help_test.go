package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// eachCommand visits every command that a person can type.
func eachCommand(c *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			visit(sub)
			eachCommand(sub, visit)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	root := newRoot(&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	n := 0
	eachCommand(root, func(c *cobra.Command) {
		n++
		switch name := c.CommandPath(); {
		case c.Short == "" || strings.HasSuffix(c.Short, "."):
			t.Errorf("%s: its short help is %q", name, c.Short)
		case c.HasSubCommands() || c.Hidden:
		case c.Example == "":
			t.Errorf("%s has no example", name)
		}
	})
	if n < 30 {
		t.Fatalf("%d commands", n)
	}
}

// TestExamplesAreTrue reads every example as the command line would: command, flags, number of arguments.
func TestExamplesAreTrue(t *testing.T) {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	tried := 0
	eachCommand(newRoot(a), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			words := shellWords(line)
			i := 0
			for i < len(words) && words[i] != "zavhoz" {
				i++
			}
			if i+1 >= len(words) || words[0] == "claude" || words[0] == "codex" {
				continue
			}
			args := words[i+1:]
			for j, w := range args {
				if w == ">" || w == "<" || w == "|" {
					args = args[:j]
					break
				}
			}
			tried++
			found, rest, err := newRoot(a).Find(args)
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err == nil {
				err = found.ValidateRequiredFlags()
			}
			if err != nil || found.CommandPath() != c.CommandPath() {
				t.Errorf("%s: %s: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
	})
	if tried < 40 {
		t.Fatalf("only %d examples were found", tried)
	}
}

// shellWords splits a line as a shell does, as far as our examples go.
func shellWords(line string) (words []string) {
	var word strings.Builder
	quote, in := rune(0), false
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ':
			if in {
				words, in = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

func TestUsageRepeatsNoSecret(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{`unknown command "resorce" for "zavhoz"`, `unknown command "resorce"`},
		{`unknown command "sk-proj-hunter2" for "zavhoz"`, "unknown command"},
		{`unknown command "correcthorsebatterystaple" for "zavhoz"`, "unknown command"},
		{"unknown flag: --secrt", `unknown flag "--secrt"`},
		{"unknown flag: --hunter2", "unknown flag"},
		{"unknown shorthand flag: 's' in -sk-proj-hunter2", "unknown flag"},
		{`invalid argument "hunter2" for "--limit" flag: strconv.ParseInt: parsing "hunter2": invalid syntax`, `invalid value for "--limit" flag`},
		{"bad flag syntax: --=hunter2", "a flag is not written as one"},
		{"flag needs an argument: 'k' in -khunter2", "a flag at the end has no value"},
		{"accepts 1 arg(s), received 2", "accepts 1 arg(s), received 2"},
	} {
		err := usageError(c.typed)
		if !isUsage(err) {
			t.Errorf("%s is no complaint about usage", c.typed)
		}
		if got := safeUsage(err, nil); got != c.want {
			t.Errorf("%s gives %q, want %q", c.typed, got, c.want)
		}
	}
}

type usageError string

func (e usageError) Error() string { return string(e) }
