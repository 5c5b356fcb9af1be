package main

import (
	"cmp"
	"fmt"
	"slices"
)

// Finding is one breach of one rule.
type Finding struct {
	File    string // relative to the root, with slashes
	Line    int    // 0 when the whole file, or the tree, is meant
	Rule    string // name of the check
	Message string
}

// String gives "file:line: [rule] message", which editors can follow.
func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: [%s] %s", f.File, f.Rule, f.Message)
	}
	return fmt.Sprintf("%s:%d: [%s] %s", f.File, f.Line, f.Rule, f.Message)
}

// Check is one kind of rule. A new one is a new file and a row here.
type Check struct {
	Name string
	Run  func(*Tree, *Rules) []Finding
}

var checks = []Check{
	{"load", checkLoad},
	{"import", checkImports},
	{"caller", checkCallers},
	{"reveal", checkReveal},
	{"leak", checkLeaks},
	{"secret-type", checkSecretType},
	{"length", checkLength},
	{"doc", checkDocs},
	{"layout", checkLayout},
	{"word", checkWords},
	{"skip", checkSkips},
	{"cite", checkCites},
	{"threat", checkThreats},
	{"code", checkCodes},
}

// tidy sorts and drops what several platforms found alike.
func tidy(all []Finding) []Finding {
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(all)
}
