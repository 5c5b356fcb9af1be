// Command lint checks the house rules that no public linter knows: who may import whom, who may touch the bytes of a secret, what a
// file may hold, and how long it may be.
//
// Promise: a rule of the house is a row in a table (rules.go) with its reason beside it, it is checked for Linux, macOS and Windows alike, and a
// row that names something that is gone fails too, so a rename cannot switch a rule off in silence.
//
// Attack stopped: the slow one. A wall (docs/design.md §1: no way to ask, the only opener, nothing prints a secret) falls in a hurried change a year
// from now, by one import or one format verb; here that change does not pass.
//
// What it does not do: it follows a revealed value through one function, not across calls. The list of callers is the wall; the rest helps a reviewer.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
)

// memory is what the program may fill before it collects garbage. What it reads stays to the end, about half of this, so that it comes to as much anyway; collecting on the way there was a fifth of
// its processor time.
const memory = 3 << 30

func main() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memory)
	dir := flag.String("C", ".", "root of the module")
	brief := flag.Bool("brief", false, "read "+apart+" for this platform alone")
	flag.Parse()
	leave := ""
	if *brief {
		leave = apart
	}
	findings, err := lint(*dir, house, platforms, leave)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		fmt.Printf("lint: %d findings by %d checks\n", len(findings), len(checks))
		os.Exit(1)
	}
	fmt.Printf("lint: %d checks, nothing found\n", len(checks))
}

// lint loads the tree at dir and runs every check. leave is read for this machine's platform alone, "" nothing.
func lint(dir string, rules Rules, on []string, leave string) ([]Finding, error) {
	tree, err := load(dir, on, leave)
	if err != nil {
		return nil, err
	}
	var all []Finding
	for _, c := range checks {
		for _, f := range c.Run(tree, &rules) {
			f.Rule = c.Name
			all = append(all, f)
		}
	}
	return tidy(all), nil
}
