package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// AttendRequest asks for a person's own confined run: their command, or a whole agent, within walls, with stand-ins for its resources, attended from their terminal.
type AttendRequest struct {
	Actor    vault.Actor // an operator
	Refs     []string    // none: only what is passed through
	Command  []string
	Env      map[string]string // plain
	Dir      string            // "": the home
	Workdirs []sandbox.Workdir // the person's own grant, for this run; the door has checked that they are folders which may be opened
	Home     string            // one of Workdirs, writable, that becomes HOME and stays; "": the private one
	Path     []string          // folders where programs are looked for first
	// PassThrough is hosts that the person lets the run tunnel to, beside those of its resources' policies: the API of the agent's own model, package registries.
	PassThrough []policy.HostRule
	Level       policy.Level      // at least this; "": the strongest there is
	Timeout     time.Duration     // 0: as long as somebody attends it
	Terminal    *sandbox.Terminal // one made inside; nil: three streams
	Term        string            // what the person's terminal is (TERM)
}

// Seat is where a person sits while their run goes on.
type Seat struct {
	Stdin  io.ReadCloser // its end is the end of the command's; Close ends a Read
	Stdout io.Writer     // takes redacted bytes; all that a terminal shows. An error of either means that nobody reads any more
	Stderr io.Writer
	Acts   <-chan Act // what the person does beside typing; closed when nobody is there any more
	// Started is told when the command is about to start.
	Started func(Started) error
	// Decide asks what becomes of the changes beside folders.
	Decide func(context.Context, []sandbox.Change) Decision
	// Ended is told at last.
	Ended func(Ended)
	// Cut makes every call of the seat fail from now on: a terminal that takes nothing must not hold up what ends.
	Cut func()
}

// Decision is what a person says about changes.
type Decision string

// What they may say.
const (
	Keep    Decision = "keep"    // make them in the real folders
	Discard Decision = "discard" // throw them away
	Later   Decision = "later"   // leave them on the shelf, where Engine.Settle finds them
)

// Act is a new size of the terminal, or a signal: INT, TERM, HUP or QUIT.
type Act struct {
	Rows, Cols int
	Signal     string
}

// Started is what may be told of a run that begins.
type Started struct {
	RunID     string
	Isolation policy.Level
	Delivered map[string]string // handle → policy.Delivery
	From      string            // the earlier run whose changes beside folders it goes on from; "": none
	Apart     string            // a run under way that has one of the folders: this one does not see what it writes; "": none
}

// Ended is how an attended run ended. Fault is nil where its command did that by itself.
type Ended struct {
	ExitCode   int // the command's own, 128+signal, or one of fault's
	Redactions int
	Refused    []Denial // what its proxy refused
	Fault      *fault.Error
}

// errGone is the cause of a run's end when nobody attends it any more.
var errGone = fmt.Errorf("run: nobody attends it any more: %w", context.Canceled)

// sessionBudget is by how much the budget of matches in replies is larger for a run that a person attends, which may last for days. What it shows the person has
// no budget: a terminal redraws, and who looks at it is the operator.
const sessionBudget = 10

// Attend runs a person's own command within walls, to its end or until nobody attends it. sit is called when the run is allowed and on record; an error before
// that is the refusal. What comes after is told to the seat.
func (e *Engine) Attend(ctx context.Context, r AttendRequest, sit func() (*Seat, error)) error {
	if err := r.check(); err != nil {
		return err
	}
	leave, err := e.enter(r.Actor)
	if err != nil {
		return err
	}
	defer leave()
	l, p, err := e.beginAttended(ctx, r)
	if err != nil {
		return err
	}
	defer e.wait.Done()
	defer close(l.done)
	defer e.settle(l)
	seat, err := sit()
	if err != nil {
		l.close(e, exit{}, errGone)
		return err
	}
	at := l.ctx
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		at, cancel = context.WithTimeoutCause(l.ctx, r.Timeout, errTimeout)
		defer cancel()
	}
	x, err := e.attend(at, l, p, r, seat)
	l.close(e, x, err)
	if at.Err() != nil || err != nil { // told to end: whoever takes nothing does not hold it up
		cut := time.AfterFunc(cutAfter, seat.Cut)
		defer cut.Stop()
	}
	seat.Ended(l.ended(x, err))
	return nil
}

// check bounds a request.
func (r *AttendRequest) check() error {
	if r.Actor.Type != audit.Operator {
		return fault.New(fault.NotPermitted, "only a person attends a run", "an agent calls run_with_resource")
	}
	bounds := Request{Command: r.Command, Env: r.Env}
	if err := bounds.check(maxTimeout); err != nil {
		return err
	}
	if r.Timeout < 0 || len(r.Path) > maxPlainEnv || len(r.PassThrough) > maxPassThrough {
		return fault.New(fault.InvalidArgument, "a time below zero, or too many folders or hosts", "")
	}
	for _, dir := range r.Path {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || strings.ContainsAny(dir, ":\x00") {
			return fault.New(fault.InvalidArgument, "a folder for programs has an absolute path without a colon", "")
		}
	}
	if r.Dir != "" && !seen(r.Workdirs, r.Dir, false) {
		return fault.New(fault.WorkdirRefused, "the folder to start in is none that the run sees", "show it: --rw PATH, --ro PATH or --overlay PATH")
	}
	if r.Home != "" && !seen(r.Workdirs, r.Home, true) {
		return fault.New(fault.WorkdirRefused, "the folder that becomes the home is not writable to the run", "")
	}
	if t := r.Terminal; t != nil {
		t.Rows, t.Cols = fitting(t.Rows), fitting(t.Cols)
	}
	if !wellNamed(r.Term) {
		r.Term = "dumb"
	}
	return nil
}

// maxPassThrough is how many hosts a person may name for one run.
const maxPassThrough = 256

// seen tells whether a folder lies in one that the run sees; for writing, whether the innermost is writable.
func seen(dirs []sandbox.Workdir, path string, write bool) bool {
	var inner sandbox.Workdir
	for _, w := range dirs {
		if (path == w.Path || strings.HasPrefix(path, w.Path+"/")) && len(w.Path) > len(inner.Path) {
			inner = w
		}
	}
	return inner.Path != "" && (!write || inner.Mode != sandbox.ReadOnly)
}

// fitting is a size that a terminal may have.
func fitting(n int) int { return min(max(n, 0), 1000) }

// wellNamed tells whether s may name a kind of terminal: a path would have programs read a file of the caller's choice as its description.
func wellNamed(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+_.") == "" && !strings.Contains(s, "..")
}

// beginAttended authorises, plans and records, as begin does.
func (e *Engine) beginAttended(ctx context.Context, r AttendRequest) (*live, *plan, error) {
	uses, err := e.authoriseAttended(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	p, err := e.planAttended(ctx, r, uses)
	if err != nil {
		return nil, nil, err
	}
	command, err := e.maskCommand(ctx, r.Command)
	if err != nil {
		return nil, nil, err
	}
	record, uses, err := e.o.Authority.StartRun(ctx, r.Actor, p.record(Request{}, command), uses)
	if err != nil {
		return nil, nil, err
	}
	l := e.newLive(record, Request{})
	l.mask.budget *= sessionBudget
	p, err = e.againAttended(ctx, p, r, uses)
	e.mu.Lock()
	if err == nil {
		err = e.refused()
	}
	if err == nil {
		e.live[record.ID] = l
		e.wait.Add(1) // under mu: Shutdown waits for it or has refused it
	}
	e.mu.Unlock()
	if err == nil {
		err = e.noteGrant(l, r)
		if err != nil {
			defer e.wait.Done()
			defer close(l.done)
			defer e.settle(l)
		}
	}
	if err != nil {
		l.close(e, exit{}, err)
		return nil, nil, err
	}
	return l, p, nil
}

// againAttended plans with what the recording transaction saw. What was recorded is what happens, or nothing.
func (e *Engine) againAttended(ctx context.Context, first *plan, r AttendRequest, uses []vault.Use) (*plan, error) {
	p, err := e.planAttended(ctx, r, uses)
	if err != nil {
		return nil, err
	}
	return p, first.same(p)
}

// authoriseAttended: a run without resources has nothing to authorise but the operator, whom the door has let in.
func (e *Engine) authoriseAttended(ctx context.Context, r AttendRequest) ([]vault.Use, error) {
	if len(r.Refs) == 0 {
		return nil, nil
	}
	return e.o.Authority.Authorise(ctx, r.Actor, r.Refs)
}

// planAttended plans the run as a brokered one, with the person's own grant in the place of registered folders.
func (e *Engine) planAttended(ctx context.Context, r AttendRequest, uses []vault.Use) (*plan, error) {
	p := &plan{uses: uses, delivered: map[string]string{}}
	if err := e.planBrokered(ctx, p, Request{Actor: r.Actor, Command: r.Command, Env: r.Env}); err != nil {
		return nil, ofPerson(err, uses)
	}
	if !policy.Level(p.isolation).Meets(r.Level) {
		return nil, fault.Newf(fault.IsolationMissing, "isolation level %s was asked for; this machine gives %s", r.Level, p.isolation).WithNext("zavhoz doctor says what is missing")
	}
	p.workdirs, p.dir, p.through = r.Workdirs, cmp.Or(r.Dir, r.Home), r.PassThrough
	return p, nil
}

// ofPerson gives a refusal the way on that a person has and an agent has not.
func ofPerson(err error, uses []vault.Use) error {
	f := fault.Of(err)
	switch f.Code {
	case fault.DeliveryRefused:
		for _, u := range uses {
			if strings.Contains(f.Message, u.Resource.Handle) {
				return f.WithNext("leave it out, or run the command without walls: zavhoz run %s --open -- COMMAND…", u.Resource.Handle)
			}
		}
	case fault.IsolationMissing:
		return f.WithNext("zavhoz doctor says what is missing; without walls, as your own act: zavhoz run HANDLE --open -- COMMAND…")
	}
	return err
}

// noteGrant records what the person opened to this run beside its resources.
func (e *Engine) noteGrant(l *live, r AttendRequest) error {
	d := map[string]string{}
	for _, w := range r.Workdirs {
		d[string(w.Mode)] = joinGrant(d[string(w.Mode)], w.Path)
	}
	for _, h := range r.PassThrough {
		d["pass_through"] = joinGrant(d["pass_through"], h.String())
	}
	if len(d) == 0 {
		return nil
	}
	return e.note(l, audit.Event{Action: audit.RunAttend, Outcome: audit.Allowed, Detail: d})
}

// maxGrant bounds what one word of a recorded grant lists, in bytes.
const maxGrant = 2 << 10

func joinGrant(list, one string) string {
	if list == "" {
		return one[:min(len(one), maxGrant)]
	}
	if len(list)+len(one) > maxGrant {
		return strings.TrimSuffix(list, " …") + " …"
	}
	return list + " " + one
}

// ended tells how the run ended, in the exit codes of the command line.
func (l *live) ended(x exit, err error) Ended {
	l.mu.Lock()
	out := Ended{ExitCode: x.code, Redactions: l.record.Redactions, Refused: slices.Clone(l.refusals)}
	l.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, errTimeout):
		out.ExitCode, out.Fault = fault.ExitRunTimeout, fault.New(fault.TimedOut, "the time of the run was over", "give it more: --timeout")
	case errors.Is(err, errStopped):
		out.Fault = fault.New(fault.Canceled, "the run was stopped", "")
	case errors.Is(err, errLocked):
		out.ExitCode, out.Fault = fault.ExitRunRefused, fault.New(fault.VaultLocked, "the vault was locked, and the run ended", "unlock it: `zavhoz unlock`, then start it again")
	case errors.Is(err, errShutdown):
		out.ExitCode, out.Fault = fault.ExitRunRefused, fault.New(fault.DaemonUnavailable, "the daemon ended, and the run with it", "start it again")
	default:
		out.ExitCode, out.Fault = fault.ExitRunRefused, fault.Of(cmp.Or(l.failure(), err))
		if out.Fault.Code == fault.BinaryMissing {
			out.ExitCode = fault.ExitRunNotFound
		}
	}
	if out.Fault == nil {
		if out.Fault = l.undone(); out.Fault != nil && out.ExitCode == 0 {
			out.ExitCode = fault.ExitRunRefused
		}
	}
	return out
}

// undone says why what the person decided about changes was not done; they are held still.
func (l *live) undone() *fault.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fault.Of(l.unsettled)
}

// overlays tells whether the run has a folder whose changes are kept beside it.
func (p *plan) overlays() bool {
	return slices.ContainsFunc(p.workdirs, func(w sandbox.Workdir) bool { return w.Mode == sandbox.Overlay })
}
