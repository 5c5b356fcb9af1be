package quick

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// End is how a run ended, as api.EndRun has it.
type End struct {
	Failed     bool // it never started
	ExitCode   int
	Redactions int
	OutBytes   int64
}

func (e End) json() []byte {
	state := "exited"
	if e.Failed {
		state = "failed"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"state":"%s","exit_code":%d,"redactions":%d,"output_bytes":%d}`, state, e.ExitCode, e.Redactions, e.OutBytes)
	return b.Bytes()
}

// Options of Start.
type Options struct {
	Plan  *deliver.Plan
	Bin   string // absolute
	Argv  []string
	Stdin *os.File
	Here  *Here // nil: Start looks for itself
	// Stdout and Stderr are given to the command as they are, without a redactor between; nil: they wait for Through. For --tty.
	Stdout, Stderr *os.File
	Report         func(End) // tells the daemon how it ended
}

// Run is a person's own run under way.
type Run struct {
	Plan     *deliver.Plan
	Err      error // it did not start: why
	parcel   *deliver.Parcel
	proc     *process.Process
	taps     [2]*tap
	first    chan struct{} // closed at the first byte
	once     sync.Once
	passed   atomic.Int64
	report   func(End)
	unsignal func()
}

// Start starts the command. A run that does not start is reported to the daemon, and is given back with its Err.
func Start(o Options) (*Run, error) {
	r := &Run{Plan: o.Plan, first: make(chan struct{}), report: o.Report, unsignal: func() {}}
	if r.Err = r.start(o); r.Err != nil {
		r.finish(End{Failed: true, ExitCode: fault.ExitRunRefused})
	}
	return r, r.Err
}

func (r *Run) start(o Options) (err error) {
	here := o.Here
	if here == nil {
		here = Look()
	}
	defer func() {
		if err != nil {
			here.leave()
		}
	}()
	if here.err != nil {
		return fault.New(fault.WorkdirRefused, "the current folder is gone", "change to another").Because(here.err)
	}
	if r.parcel, err = deliver.Pack(deliver.Options{Home: os.TempDir(), Base: here.env}, o.Plan.Items); err != nil {
		return err
	}
	spec := process.Spec{Path: o.Bin, Argv: o.Argv, Env: r.parcel.Env, Dir: here.dir, Stdin: o.Stdin, Files: r.parcel.Files, Attached: true}
	spec.Stdout, spec.Stderr = r.through(0, o.Stdout), r.through(1, o.Stderr)
	if r.proc, err = process.Start(spec); err != nil {
		return fault.New(fault.BinaryMissing, "the command could not be started", "is it a program for this machine?").Because(err)
	}
	r.unsignal = here.follow(r.proc)
	return nil
}

// Here is what a command inherits from the place where it is typed. From Look on, signals wait for the command.
type Here struct {
	dir    string
	env    []string
	err    error
	follow func(*process.Process) (stop func())
}

// Look gathers it.
func Look() *Here {
	h := &Here{env: ownEnv(os.Environ()), follow: catch()}
	h.dir, h.err = os.Getwd()
	return h
}

// leave lets signals have their usual meaning again.
func (h *Here) leave() { h.follow(nil) }

func (r *Run) through(i int, direct *os.File) io.Writer {
	if direct != nil {
		return direct
	}
	r.taps[i] = &tap{run: r, ready: make(chan struct{})}
	return r.taps[i]
}

// ownEnv is the person's own environment, less our token.
func ownEnv(env []string) []string {
	const token = "ZAVHOZ_AGENT_TOKEN="
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if len(kv) < len(token) || kv[:len(token)] != token {
			out = append(out, kv)
		}
	}
	return out
}

// Silent waits until the command has ended (true) or written its first byte (false), which then waits for Through.
func (r *Run) Silent() bool {
	select {
	case <-r.first:
		return false
	case <-r.proc.Done():
	}
	select {
	case <-r.first: // both: the byte was given up on
		return false
	default:
		return true
	}
}

// Through lets the output go on, to writers that make it safe.
func (r *Run) Through(stdout, stderr io.Writer) {
	for i, w := range []io.Writer{stdout, stderr} {
		if t := r.taps[i]; t != nil {
			t.dst = w
			close(t.ready)
		}
	}
}

// Wait waits for the command's end and gives its exit code.
func (r *Run) Wait() int { return r.proc.Wait().Code }

// End reports the run, with so many redactions, wipes its values, and gives the exit code. The output is complete by then.
func (r *Run) End(redactions int) int {
	code := r.Wait()
	r.unsignal()
	r.finish(End{ExitCode: code, Redactions: redactions, OutBytes: r.passed.Load()})
	return code
}

func (r *Run) finish(e End) {
	if r.parcel != nil {
		r.parcel.Close()
	}
	r.report(e)
	r.Plan.Wipe()
}

// tap holds one output back until there is somewhere safe for it to go.
type tap struct {
	run   *Run
	ready chan struct{}
	dst   io.Writer
}

// Write passes p on. Where nobody reads any more, the command is told as a shell's pipe would tell it.
func (t *tap) Write(p []byte) (int, error) {
	t.run.once.Do(func() { close(t.run.first) })
	<-t.ready
	t.run.passed.Add(int64(len(p)))
	n, err := t.dst.Write(p)
	if err != nil {
		hangUp(t.run.proc)
	}
	return n, err
}
