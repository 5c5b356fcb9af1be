// Package quick runs a person's own command, `zavhoz run HANDLE… --open -- COMMAND…`, and where a daemon is there to ask, it does so before the
// rest of the program has come to life.
//
// Promise: it does what the long way does, or leaves it to the long way: any flag but --open, no daemon, a daemon that refuses, a command that is
// not found. A byte that the command writes is not passed on from here: the run is handed over to whoever has a redactor, with the byte in it.
//
// Why: a program that links a whole house spends ten times as long on initialising packages (schemas, patterns, tables of three dozen services) as a
// plain exec takes, and this command needs none of them. Go initialises packages in the order of their import paths as their own imports are
// ready; this one imports little and sits early, so its init function comes before the expensive ones. TestQuickIsEarly holds it to that: keep
// regexp, net and encoding/json's friends out of here.
//
// Attacks stopped: a socket that another user put in the daemon's place (threat-model.md 22): the peer must have our uid.
package quick

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/zavhoz/zavhoz/run/deliver"
)

// Refusal is the daemon's answer where it gave no plan: an RFC 9457 problem, undecoded. nil where it was not asked or gave one.
var Refusal []byte

// Begun is a run that began here and whose command has written something: Main finishes it. nil otherwise.
var Begun *Run

// ErrBroken says that the daemon's answer is no answer. The run may be on record.
var ErrBroken = errors.New("quick: the daemon did not answer")

// Broken is set where the daemon took the request and gave no answer: asking again would put a second run on record.
var Broken error

func init() {
	handles, argv, ok := command(os.Args)
	if !ok {
		return
	}
	bin, err := exec.LookPath(argv[0])
	if err != nil {
		return
	}
	sock, ok := socket(os.Getenv)
	if !ok {
		return
	}
	attempt(sock, handles, argv, bin)
}

// command reads a command line of the one form that is taken here: run, handles and --open in any order, then -- and the command.
func command(args []string) (handles, argv []string, ok bool) {
	if len(args) < 2 || args[1] != "run" {
		return nil, nil, false
	}
	open := false
	for i, s := range args[2:] {
		switch {
		case s == "--":
			argv = args[2+i+1:]
			return handles, argv, open && len(handles) > 0 && len(argv) > 0
		case s == "--open":
			open = true
		case s == "" || s[0] == '-':
			return nil, nil, false
		default:
			handles = append(handles, s)
		}
	}
	return nil, nil, false
}

// attempt does the whole run where nothing comes in between; else it says in the package's variables how far it came.
func attempt(sock string, handles, argv []string, bin string) {
	c, err := dial(sock)
	if err != nil {
		return
	}
	defer func() {
		if Begun == nil {
			c.close()
		}
	}()
	if err := c.write("/api/v1/runs/open", openRequest(handles, argv)); err != nil {
		return // a daemon at its end; the long way finds the next
	}
	here := Look() // while the daemon works
	status, body, err := c.read()
	switch {
	case errors.Is(err, syscall.ECONNRESET): // closed over an unread request: a daemon at its end, and the long way finds the next
		here.leave()
		return
	case err != nil:
		Broken = err
	case status != 200:
		Refusal = body
	}
	if Broken != nil || Refusal != nil {
		here.leave()
		return
	}
	plan, err := deliver.DecodePlan(body)
	if err != nil {
		here.leave()
		Broken = ErrBroken
		return
	}
	r, err := Start(Options{Plan: plan, Here: here, Bin: absolute(bin), Argv: argv, Stdin: os.Stdin, Report: c.report(plan.RunID)})
	if err == nil && r.Silent() {
		os.Exit(r.End(0))
	}
	Begun = r // Main knows what to say
}

// absolute makes a path found through PATH absolute.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// openRequest is api.OpenRun in JSON.
func openRequest(handles, argv []string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"refs":`)
	list(&b, handles)
	b.WriteString(`,"command":`)
	list(&b, argv)
	b.WriteByte('}')
	return b.Bytes()
}
