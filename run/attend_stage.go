package run

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// attend makes the walls, starts the command within them and stays until it has ended.
func (e *Engine) attend(ctx context.Context, l *live, p *plan, r AttendRequest, seat *Seat) (x exit, err error) {
	defer func() { // one run's defect must not end the others; its text could hold anything
		if recover() != nil {
			err = fault.New(fault.Internal, "the run failed inside zavhoz", "")
		}
	}()
	if err := e.learn(l, p); err != nil {
		return exit{}, err
	}
	at, err := e.place(ctx, l, p)
	if err != nil {
		return exit{}, err
	}
	x, err = e.attendWithin(ctx, l, p, r, seat, at)
	e.decide(ctx, l, r, seat, e.hold(l, at))
	return x, err
}

// attendWithin is attend in its box.
func (e *Engine) attendWithin(ctx context.Context, l *live, p *plan, r AttendRequest, seat *Seat, at *place) (x exit, err error) {
	box, err := e.o.Sandbox.Open(ctx, at.box(l.record.ID, p.isolation))
	if err != nil {
		return exit{}, err
	}
	defer e.closeBox(l, box)
	o, err := e.outfit(ctx, l, p, box)
	if err != nil {
		return exit{}, err
	}
	defer o.close()
	o.at = at
	spec, err := o.spec(within{argv: p.argv, dir: p.dir, items: o.items, plain: r.Env})
	if err != nil {
		return exit{}, err
	}
	spec.Workdirs, spec.Env = p.workdirs, furnish(spec.Env, box.Home(), r)
	s := &stage{l: l, seat: seat, terminal: r.Terminal}
	return s.see(ctx, o, spec, Started{RunID: l.record.ID, Isolation: box.Level(), Delivered: p.delivered, From: l.came(), Apart: l.apart})
}

// decide asks what becomes of what the run wrote beside folders. It is on the shelf by now: whoever is gone, or wants to see more of it, finds it there.
func (e *Engine) decide(ctx context.Context, l *live, r AttendRequest, seat *Seat, h *Held) {
	if h == nil {
		return
	}
	word := seat.Decide(ctx, h.Changes)
	if word == Later {
		return
	}
	if err := e.Settle(context.WithoutCancel(ctx), r.Actor, h.RunID, Settling{Keep: word == Keep}); err != nil {
		l.mu.Lock()
		l.unsettled = err
		l.mu.Unlock()
	}
}

// came tells from which earlier run's changes this one went on; "" for none.
func (l *live) came() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from
}

// furnish puts the person's own choices into the environment: the home that stays, where programs are, what the terminal is. What leads a program to the run's own
// files (its certificates, its ssh, which lie in the private home) comes before them.
func furnish(env []string, private string, r AttendRequest) []string {
	set := func(name string, change func(old string) string) {
		old := ""
		env = slices.DeleteFunc(env, func(kv string) bool {
			value, ok := strings.CutPrefix(kv, name+"=")
			if ok {
				old = value // of several the last is what programs see
			}
			return ok
		})
		env = append(env, name+"="+change(old))
	}
	env = slices.Clone(env)
	if r.Home != "" {
		set("HOME", func(string) string { return r.Home })
	}
	if len(r.Path) > 0 {
		set("PATH", func(old string) string {
			all := slices.DeleteFunc(strings.Split(old, ":"), func(d string) bool { return d == "" })
			own := 0
			for own < len(all) && strings.HasPrefix(all[own], private+"/") {
				own++
			}
			return strings.Join(slices.Insert(all, own, r.Path...), ":")
		})
	}
	if r.Terminal != nil {
		set("TERM", func(string) string { return r.Term })
	}
	return env
}

// stage is an attended command under way: its streams, or its terminal, and the person before it.
type stage struct {
	l        *live
	seat     *Seat
	terminal *sandbox.Terminal // nil: three streams

	in     io.WriteCloser // of the command; nil: none
	outs   []out
	near   []*os.File // our ends
	far    []*os.File // the command's ends, ours to close once it has them
	resize func(rows, cols int)
	over   atomic.Bool // the command has ended: what is still to come comes at once
	pumps  sync.WaitGroup
	feeder sync.WaitGroup
}

// out is one stream of the command with what shows it to the person.
type out struct {
	from *os.File
	to   *viewed
}

// drainFor is how long a stream may be silent after the command's end before it is given up: somebody outside the walls would have to hold it open.
const drainFor = time.Second

// cutAfter is how long a person's side may hold up the end of a run that was told to end.
const cutAfter = 2 * time.Second

// see starts what spec says and passes everything on until it has ended.
func (s *stage) see(ctx context.Context, o *outfit, spec sandbox.Spec, began Started) (x exit, err error) {
	if ctx.Err() != nil {
		return exit{}, context.Cause(ctx)
	}
	defer s.closeAll()
	if err := s.connect(&spec); err != nil {
		return exit{}, err
	}
	proc, err := o.box.Start(ctx, spec)
	closeFiles(&s.far)
	if err != nil {
		return exit{}, err
	}
	if err = s.take(proc); err == nil {
		o.start(proc)
		err = s.seat.Started(began)
	}
	if err == nil {
		err = proc.Run()
	}
	if err != nil {
		proc.Kill()
		<-proc.Done()
		return exit{}, err
	}
	return s.follow(ctx, proc)
}

// connect makes the three streams, where there is no terminal.
func (s *stage) connect(spec *sandbox.Spec) error {
	if s.terminal != nil {
		spec.Terminal = s.terminal
		return nil
	}
	var pairs [3][2]*os.File // read, write
	for i := range pairs {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		near, far := r, w
		if i == 0 {
			near, far = w, r
		}
		pairs[i], s.near, s.far = [2]*os.File{r, w}, append(s.near, near), append(s.far, far)
	}
	spec.Stdin, spec.Stdout, spec.Stderr = pairs[0][0], pairs[1][1], pairs[2][1]
	s.in = pairs[0][1]
	s.outs = []out{{pairs[1][0], s.l.show(stdout, s.seat.Stdout, false)}, {pairs[2][0], s.l.show(stderr, s.seat.Stderr, false)}}
	return nil
}

// take takes the terminal of a process that was made ready.
func (s *stage) take(proc *sandbox.Process) error {
	if s.terminal == nil {
		return nil
	}
	theirs, resize := proc.Terminal()
	if theirs == nil {
		return fault.New(fault.NotSupported, "no terminal can be made within the walls here", "run it without one: its input and output from pipes")
	}
	master, err := own(theirs)
	if err != nil {
		return err
	}
	s.near, s.in, s.resize = append(s.near, master), keptOpen{master}, resize
	s.outs = []out{{master, s.l.show(stdout, s.seat.Stdout, true)}}
	return nil
}

// keptOpen is a terminal as something to write to: the end of what is typed is not its end.
type keptOpen struct{ io.Writer }

// Close leaves the terminal as it is.
func (keptOpen) Close() error { return nil }

// follow passes on what comes from either side until the command has ended and the person has seen all of it.
func (s *stage) follow(ctx context.Context, proc *sandbox.Process) (exit, error) {
	ended := make(chan struct{})
	s.feeder.Go(func() { s.feed() })
	s.feeder.Go(func() { s.heed(proc, ended) })
	for _, o := range s.outs {
		s.pumps.Go(func() { s.pump(o) })
	}
	var cause error
	select {
	case <-proc.Done():
	case <-ctx.Done():
		cause = context.Cause(ctx)
		proc.Stop()
	}
	x := exit{proc.Wait().Code}
	if cause == nil {
		cause = proc.Cut()
	}
	s.over.Store(true)
	for _, o := range s.outs {
		s.hurry(o.from)
	}
	s.drain(ctx)
	close(ended)
	_ = s.seat.Stdin.Close()
	s.closeAll()
	s.feeder.Wait()
	return x, cause
}

// drain waits until the person has taken all that was written, however slowly; but where the run was told to end, not for long.
func (s *stage) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() { s.pumps.Wait(); close(done) }()
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	cut := time.AfterFunc(cutAfter, s.seat.Cut)
	defer cut.Stop()
	<-done
}

// hurry gives a stream whose writers are gone the time to say so.
func (s *stage) hurry(f *os.File) {
	if f.SetReadDeadline(time.Now().Add(drainFor)) != nil {
		time.AfterFunc(drainFor, func() { _ = f.Close() })
	}
}

// feed passes on what is typed.
func (s *stage) feed() {
	_, _ = io.Copy(struct{ io.Writer }{s.in}, struct{ io.Reader }{s.seat.Stdin}) // a command that does not read is no failure
	_ = s.in.Close()
}

// heed does what the person does beside typing, and ends the run when they are gone.
func (s *stage) heed(proc *sandbox.Process, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case a, here := <-s.seat.Acts:
			switch {
			case !here:
				s.l.cancel(errGone)
				return
			case a.Signal != "":
				signalTo(proc, a.Signal)
			case s.resize != nil:
				s.resize(fitting(a.Rows), fitting(a.Cols))
			}
		}
	}
}

// pump passes one stream on, redacted. Where nobody reads any more it reads on for a while: the command must not hang in a write while it is told to end.
func (s *stage) pump(o out) {
	buf := make([]byte, pumpBytes)
	var to io.Writer = o.to
	for {
		n, err := o.from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				s.l.cancel(o.to.unseen())
				to = io.Discard
			}
			if s.over.Load() {
				s.hurry(o.from)
			}
		}
		if err != nil { // a terminal whose other side is gone gives EIO for its end
			break
		}
	}
	clear(buf)
	_ = o.to.Close()
}

// pumpBytes is how much of a stream is taken at once.
const pumpBytes = 64 << 10

func (s *stage) closeAll() {
	closeFiles(&s.near)
	closeFiles(&s.far)
}

func closeFiles(files *[]*os.File) {
	for _, f := range *files {
		_ = f.Close()
	}
	*files = nil
}
