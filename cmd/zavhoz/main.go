// Command zavhoz keeps the credentials and machines that an LLM agent works with, and lets the agent use them without seeing them.
//
// Promise: the command line is the person's side. A secret value never comes in argv and is never printed; what reveals, approves or widens asks
// for proof of presence where one is set. Each command is one small file; this one only starts them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func main() {
	sandbox.Main() // where this process was started to confine others, it does nothing else
	os.Exit(Main())
}

// wantsJSON finds --json before the flags are read, for what goes wrong before that.
func wantsJSON(args []string) bool {
	for _, s := range args {
		if s == "--" {
			return false
		}
		if s == "--json" || s == "--json=true" {
			return true
		}
	}
	return false
}

// Main runs the command line and gives the exit code (docs/exit-codes.md).
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends what does not heed the first
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	root := newRoot(a)
	args := os.Args[1:]
	a.json = wantsJSON(args)
	root.SetArgs(args)
	var err error
	a.at, err = root.ExecuteContextC(ctx)
	return a.exit(err)
}
