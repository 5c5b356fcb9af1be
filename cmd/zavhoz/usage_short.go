package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shorthandNext says what may be meant by a flag with one dash that at does not have: a long one that lost a dash, one that begins with the letter, or
// else which short ones there are. It ends with a blank, for more to follow. ok is false where err complains of something else.
func shorthandNext(err string, at *cobra.Command) (next string, ok bool) {
	if !strings.HasPrefix(err, "unknown shorthand") {
		return "", false
	}
	_, typed, _ := strings.Cut(err, " in -")
	if names := nearFlags(at, typed); len(names) > 0 {
		return "did you mean --" + strings.Join(names, " or --") + "? ", true
	}
	return "the short flags are " + strings.Join(shortFlags(at), ", ") + "; ", true
}

// maxNear is how many flags are named at most.
const maxNear = 3

// nearFlags finds the flags whose name is near a word of several letters, or that begin with a single one.
func nearFlags(at *cobra.Command, typed string) []string {
	typed, _, _ = strings.Cut(typed, "=")
	names := flagNames(at)
	if len(typed) > 1 {
		return first(near(names, typed), 1)
	}
	var begin []string
	for _, n := range names {
		if typed != "" && strings.HasPrefix(n, strings.ToLower(typed)) {
			begin = append(begin, n)
		}
	}
	return first(begin, maxNear)
}

func first(names []string, n int) []string { return names[:min(n, len(names))] }

// shortFlags are the flags of one letter that a command takes, each with its long name.
func shortFlags(at *cobra.Command) []string {
	var out []string
	at.InitDefaultHelpFlag()
	add := func(f *pflag.Flag) {
		if f.Shorthand != "" {
			out = append(out, "-"+f.Shorthand+" (--"+f.Name+")")
		}
	}
	at.Flags().VisitAll(add)
	at.InheritedFlags().VisitAll(add)
	return out
}
