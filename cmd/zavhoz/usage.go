package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// errUsage marks what cobra says about flags and arguments.
type errUsage struct{ error }

// group makes c a command that only holds others: alone it shows its help, and what is none of them is a mistake, not a wish for help.
func group(c *cobra.Command) *cobra.Command {
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return errUsage{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		}
		return cmd.Help()
	}
	return c
}

// isUsage knows cobra's own complaints, which have no type.
func isUsage(err error) bool {
	var f *fault.Error
	if errors.As(err, &f) {
		return false
	}
	s := err.Error()
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "required flag", "flag needs", "invalid argument", "bad flag syntax", "if any flags in the group", "at least one of the flags", "only takes"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// wordLimit is the longest mistyped word that is repeated, in bytes.
const wordLimit = 24

// wordLike tells whether s looks like a mistyped command or flag. Anything else may be a secret that lost its way, and is not repeated: terminals, shells
// and the logs of CI keep what is printed.
func wordLike(s string) bool {
	s = strings.TrimPrefix(s, "--")
	return s != "" && len(s) <= wordLimit && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == "" && strings.Count(s, "-") <= 3
}

// typedWord is the command or flag that cobra does not know, as it was typed.
func typedWord(err error) string {
	s := err.Error()
	if _, flag, ok := strings.Cut(s, "unknown flag: "); ok {
		return flag
	}
	if strings.HasPrefix(s, "unknown command") {
		return quoted(s)
	}
	return ""
}

// usageNext says where the help is, and which known name is near the mistyped one. It names what exists, never what was typed.
func usageNext(err error, at *cobra.Command) string {
	if at == nil {
		return "`zavhoz --help` shows how"
	}
	next := "`" + at.CommandPath() + " --help` shows how"
	if s, ok := shorthandNext(err.Error(), at); ok {
		return s + next
	}
	typed := typedWord(err)
	if flag, isFlag := strings.CutPrefix(typed, "--"); isFlag {
		if names := near(flagNames(at), flag); len(names) > 0 {
			return "did you mean --" + names[0] + "? " + next
		}
		return next
	}
	if typed != "" && at.HasAvailableSubCommands() {
		at.SuggestionsMinimumDistance = 2
		if names := at.SuggestionsFor(typed); len(names) > 0 {
			return "did you mean `" + at.CommandPath() + " " + names[0] + "`? " + next
		}
	}
	return next
}

// flagNames are the flags that a command takes.
func flagNames(c *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	c.Flags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	return names
}

// near asks cobra, which compares names of commands alone, for names near to one.
func near(names []string, typed string) []string {
	c := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, n := range names {
		c.AddCommand(&cobra.Command{Use: n, Run: func(*cobra.Command, []string) {}})
	}
	return c.SuggestionsFor(typed)
}

// safeUsage keeps cobra's complaint but not what was typed for a value.
func safeUsage(err error, at *cobra.Command) string {
	s := err.Error()
	typed := ""
	switch {
	case strings.HasPrefix(s, "unknown command") && at != nil && at.HasParent() && !at.HasAvailableSubCommands():
		return "`" + at.CommandPath() + "` takes no arguments"
	case strings.HasPrefix(s, "unknown command"):
		s, typed = "unknown command", quoted(s)
	case strings.HasPrefix(s, "unknown flag: "):
		_, typed, _ = strings.Cut(s, ": ")
		s = "unknown flag"
	case strings.HasPrefix(s, "unknown shorthand"):
		if _, in, _ := strings.Cut(s, " in -"); len(in) == 1 { // more could be a secret that begins with "-"
			return "unknown flag \"-" + in + "\""
		}
		s = "unknown flag"
	case strings.HasPrefix(s, "bad flag syntax"):
		s = "a flag is not written as one"
	case strings.HasPrefix(s, "invalid argument"):
		_, flag, _ := strings.Cut(s, " for ")
		flag, _, _ = strings.Cut(flag, ": ")
		s = "invalid value for " + flag
	case strings.HasPrefix(s, "flag needs"):
		s = "a flag at the end has no value"
	}
	if wordLike(typed) {
		s += " \"" + typed + "\""
	}
	return s
}

// quoted gives the first text in double quotes.
func quoted(s string) string {
	_, s, _ = strings.Cut(s, `"`)
	s, _, _ = strings.Cut(s, `"`)
	return s
}
