package main

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/frames"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// Attend runs a person's own confined run on the connection that upgrade gives.
func (o openRuns) Attend(ctx context.Context, actor vault.Actor, in api.AttendRun, upgrade func() (net.Conn, error)) error {
	r, err := attendRequest(actor, in)
	if err != nil {
		return err
	}
	var d *desk
	err = o.e.Attend(ctx, r, func() (*run.Seat, error) {
		c, err := upgrade()
		if err != nil {
			return nil, err
		}
		d = newDesk(c)
		return d.seat(), nil
	})
	if d != nil {
		d.close()
	}
	return err
}

// attendRequest reads what the API brought.
func attendRequest(actor vault.Actor, in api.AttendRun) (run.AttendRequest, error) {
	r := run.AttendRequest{
		Actor: actor, Refs: in.Refs, Command: in.Command, Env: in.Env, Dir: in.Dir, Home: in.Home, Path: in.Path, Timeout: time.Duration(in.TimeoutS) * time.Second,
	}
	for _, f := range in.Folders {
		mode := sandbox.Mode(f.Mode)
		if !slices.Contains([]sandbox.Mode{sandbox.ReadOnly, sandbox.ReadWrite, sandbox.Overlay}, mode) {
			return r, fault.New(fault.InvalidArgument, "a folder's mode is ro, rw or overlay", "")
		}
		r.Workdirs = append(r.Workdirs, sandbox.Workdir{Path: f.Path, Mode: mode})
	}
	for _, text := range in.PassThrough {
		h, err := policy.ParsePassThrough(text)
		if err != nil {
			return r, err
		}
		r.PassThrough = append(r.PassThrough, h)
	}
	if in.Level != "" {
		var err error
		if r.Level, err = policy.ParseLevel(in.Level); err != nil {
			return r, err
		}
	}
	if t := in.Terminal; t != nil {
		r.Terminal, r.Term = &sandbox.Terminal{Rows: t.Rows, Cols: t.Cols}, t.Term
	}
	return r, nil
}

// actsAhead is how many signals and sizes may wait; what a person presses while more wait than that is lost.
const actsAhead = 64

// desk is the daemon's end of an attended run: it reads the frames of a person's command line, and writes those to it.
type desk struct {
	conn    net.Conn
	out     *frames.Writer
	in      *frames.Inbox
	acts    chan run.Act
	answers chan run.Decision
	gone    chan struct{} // closed when nobody is there any more
	reading sync.WaitGroup
}

func newDesk(c net.Conn) *desk {
	d := &desk{conn: c, out: frames.NewWriter(c), acts: make(chan run.Act, actsAhead), answers: make(chan run.Decision, 1), gone: make(chan struct{})}
	d.in = frames.NewInbox(d.out.Taken)
	d.reading.Go(func() {
		err := d.read()
		d.in.End(err)
		close(d.acts)
		close(d.gone)
	})
	return d
}

// close ends the connection and waits for its reader.
func (d *desk) close() {
	_ = d.conn.Close()
	d.reading.Wait()
}

var errLeft = errors.New("the person's side is gone")

// read takes frames until the other side goes, or does not keep to the protocol.
func (d *desk) read() error {
	r := frames.NewReader(d.conn, frames.ToDaemon)
	for {
		t, payload, err := r.Next()
		if err == nil {
			err = d.take(t, payload)
		}
		if err != nil {
			return errors.Join(errLeft, err)
		}
	}
}

func (d *desk) take(t frames.Type, payload []byte) error {
	switch t {
	case frames.Stdin:
		return d.in.Put(payload)
	case frames.EOF:
		d.in.End(nil)
	case frames.Resize:
		var s frames.Size
		if err := frames.Decode(payload, &s); err != nil {
			return err
		}
		d.act(run.Act{Rows: s.Rows, Cols: s.Cols})
	case frames.Signal:
		if name := string(payload); slices.Contains(frames.Signals, name) {
			d.act(run.Act{Signal: name})
		}
	case frames.Answer:
		var a frames.Reply
		if err := frames.Decode(payload, &a); err != nil {
			return err
		}
		select {
		case d.answers <- decision(a):
		default:
		}
	case frames.Detach:
		return io.EOF
	}
	return nil
}

// act hands on without waiting: what is typed comes by the same way, and the frames that end a run.
func (d *desk) act(a run.Act) {
	select {
	case d.acts <- a:
	default:
	}
}

// seat is the desk as the engine sees it.
func (d *desk) seat() *run.Seat {
	return &run.Seat{
		Stdin: typing{d.in}, Stdout: d.out.Stream(frames.Stdout), Stderr: d.out.Stream(frames.Stderr), Acts: d.acts,
		Started: func(s run.Started) error {
			if d.out.Control(frames.Started, frames.Start{RunID: s.RunID, Isolation: string(s.Isolation), Delivered: s.Delivered, Notes: notes(s)}) != nil {
				return fault.New(fault.Canceled, "nobody attends the run any more", "")
			}
			return nil
		},
		Decide: d.decide, Ended: d.ended, Cut: func() { _ = d.conn.Close() },
	}
}

// typing is what comes from the keyboard.
type typing struct{ *frames.Inbox }

// Close ends a Read.
func (t typing) Close() error {
	t.End(io.ErrClosedPipe)
	return nil
}

// maxListed is how many changes a question lists.
const maxListed = 200

// notes says what a person should know of where the run writes.
func notes(s run.Started) (out []string) {
	if s.From != "" {
		out = append(out, "it goes on from the changes that "+s.From+" left beside the folder")
	}
	if s.Apart != "" {
		out = append(out, s.Apart+" is under way beside the same folder: this run does not see what it writes")
	}
	return out
}

// decision reads an answer: what is neither yes nor no leaves the changes where they are.
func decision(a frames.Reply) run.Decision {
	switch {
	case a.Later:
		return run.Later
	case a.Keep:
		return run.Keep
	}
	return run.Discard
}

// decide asks the person what becomes of the changes. Who is gone finds them on the shelf.
func (d *desk) decide(ctx context.Context, changes []sandbox.Change) run.Decision {
	q := frames.Changed{Total: len(changes)}
	for _, c := range changes[:min(len(changes), maxListed)] {
		q.Changes = append(q.Changes, frames.Change{Path: clipPath(c.Workdir + "/" + c.Path), Kind: string(c.Kind), Marks: clipMarks(marks(c))})
	}
	if d.out.Control(frames.Changes, q) != nil {
		return run.Later
	}
	select {
	case word := <-d.answers:
		return word
	case <-d.gone:
	case <-ctx.Done():
	}
	return run.Later
}

// clipMarks keeps a question within its frame, too.
func clipMarks(all []string) []string {
	for i := range all {
		all[i] = clipPath(all[i])
	}
	return all
}

// clipPath keeps a question within its frame.
func clipPath(p string) string {
	const limit = 400
	if len(p) > limit {
		p = "…" + p[len(p)-limit:]
	}
	return strings.ToValidUTF8(p, "�")
}

func (d *desk) ended(e run.Ended) {
	end := frames.End{Exit: e.ExitCode, Redactions: e.Redactions}
	for _, r := range e.Refused {
		end.Refused = append(end.Refused, frames.Refusal{Where: clipPath(r.Where), Code: r.Code, Count: r.Count})
	}
	if f := e.Fault; f != nil {
		end.Code, end.Message, end.Next = string(f.Code), f.Message, f.Next
	}
	_ = d.out.Control(frames.Ended, end) // the peer may have gone; the run's record says it
}
