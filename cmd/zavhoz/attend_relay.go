package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/frames"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// attendance stands between the person and their run: it passes on what is typed and what is written, and leaves the terminal as it was, whatever ends it.
type attendance struct {
	a      *app
	conn   io.ReadWriteCloser
	out    *frames.Writer
	credit *frames.Credit
	keep   bool    // make the changes beside folders without asking
	screen *screen // the person's terminal; nil: three streams
	wish   string  // what was asked of the changes beside folders: kept, thrown away; "": nothing
	wished string  // how many those are

	typed   chan []byte   // what the person gives, closed at its end
	running chan struct{} // closed when what is typed is no longer the command's
	sending sync.WaitGroup
	heeding sync.WaitGroup
}

// attend passes everything on until the run has ended, and gives its exit code.
func (a *app) attend(conn io.ReadWriteCloser, keep, terminal bool) error {
	r := &attendance{a: a, conn: conn, out: frames.NewWriter(conn), credit: frames.NewCredit(), keep: keep, typed: make(chan []byte), running: make(chan struct{})}
	if terminal {
		r.screen = newScreen(a.stdin, terminalOf(a.stdout))
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}, sizeSignals...)...)
	defer signal.Stop(signals)
	r.heeding.Go(func() { r.heed(signals) })
	end, err := r.follow()
	r.finish(err == nil && end.Code == "")
	r.tell(end, err)
	return a.conclusion(end, err)
}

// finish gives the terminal back and ends all that was started.
func (r *attendance) finish(clean bool) {
	r.screen.leave(clean)
	_ = r.conn.Close()
	r.rest()
	r.heeding.Wait()
}

// tell says what became of the changes, once it has: the daemon makes them after the answer, and tells in the run's end where it could not.
func (r *attendance) tell(end frames.End, err error) {
	switch {
	case r.wish == "":
	case err == nil && end.Code == "":
		r.a.hint("zavhoz: %s %s", r.wished, r.wish)
	default:
		r.a.hint("zavhoz: %s were to be %s: zavhoz runs changes shows what is left", r.wished, r.wish)
	}
}

// rest ends the passing on of what is typed.
func (r *attendance) rest() {
	select {
	case <-r.running:
	default:
		close(r.running)
	}
	r.credit.Close()
	r.sending.Wait()
}

// follow acts on the daemon's frames until the last.
func (r *attendance) follow() (end frames.End, err error) {
	defer func() {
		if p := recover(); p != nil { // the terminal first
			r.screen.leave(false)
			panic(p)
		}
	}()
	in := frames.NewReader(r.conn, frames.FromDaemon)
	for {
		t, payload, err := in.Next()
		if err != nil {
			return end, err
		}
		switch t {
		case frames.Started:
			var s frames.Start
			if err = frames.Decode(payload, &s); err == nil {
				for _, note := range s.Notes {
					r.a.hint("zavhoz: %s", plain(note))
				}
				err = r.begin()
			}
		case frames.Stdout:
			_, err = r.stdout().Write(payload)
		case frames.Stderr:
			_, err = r.a.stderr.Write(payload)
		case frames.Window:
			err = r.credit.Give(frames.Count(payload))
		case frames.Changes:
			var c frames.Changed
			if err = frames.Decode(payload, &c); err == nil {
				err = r.out.Control(frames.Answer, r.ask(c))
			}
		case frames.Ended:
			return end, frames.Decode(payload, &end)
		}
		if err != nil {
			return end, err
		}
	}
}

func (r *attendance) stdout() io.Writer {
	if r.screen != nil {
		return r.screen
	}
	return r.a.stdout
}

// begin hands the terminal over and starts to pass on what is typed.
func (r *attendance) begin() error {
	if r.screen != nil {
		if err := r.screen.enter(); err != nil {
			return err
		}
		r.size()
	}
	go r.listen() // it stays behind in a read that nothing can end, until the program does
	r.sending.Go(r.send)
	return nil
}

// listen reads what the person gives.
func (r *attendance) listen() {
	defer close(r.typed)
	for {
		b := make([]byte, frames.MaxData/2)
		n, err := r.a.stdin.Read(b)
		if n > 0 {
			r.typed <- b[:n]
		}
		if err != nil {
			return
		}
	}
}

// send passes on what is typed, as far as the daemon takes it.
func (r *attendance) send() {
	for {
		select {
		case <-r.running:
			return
		case b, more := <-r.typed:
			if !more {
				_ = r.out.Frame(frames.EOF, nil)
				return
			}
			for len(b) > 0 {
				n := r.credit.Take(len(b))
				if n == 0 || r.out.Frame(frames.Stdin, b[:n]) != nil {
					return
				}
				b = b[n:]
			}
		}
	}
}

// heed passes signals on. What is pressed on a terminal of the run's own comes as bytes; a signal then comes from elsewhere.
func (r *attendance) heed(signals <-chan os.Signal) {
	for {
		select {
		case <-r.running:
			return
		case s := <-signals:
			name, ok := signalNames[s]
			switch {
			case !ok:
				r.size()
			case s == syscall.SIGHUP && r.screen != nil:
				_ = r.out.Frame(frames.Detach, nil) // the terminal is gone, and with it who attends
			default:
				_ = r.out.Frame(frames.Signal, []byte(name))
			}
		}
	}
}

var signalNames = map[os.Signal]string{os.Interrupt: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT"}

func (r *attendance) size() {
	if r.screen != nil {
		rows, cols := terminalSize(r.a.stdin)
		_ = r.out.Control(frames.Resize, frames.Size{Rows: rows, Cols: cols})
	}
}

// ask asks what becomes of the changes beside folders; where nobody could answer they stay held. What becomes of them is said.
func (r *attendance) ask(c frames.Changed) frames.Reply {
	r.rest()
	r.screen.leave(true)
	changes := count(c.Total, "change")
	r.wished = changes
	if r.keep {
		r.wish = "kept"
		return frames.Reply{Keep: true}
	}
	for _, x := range c.Changes[:min(len(c.Changes), maxShown)] {
		fmt.Fprintf(r.a.stderr, "  %-8s %s%s\n", x.Kind, plain(x.Path), loud(x.Marks))
	}
	if c.Total > maxShown {
		fmt.Fprintf(r.a.stderr, "  … and %d more\n", c.Total-min(len(c.Changes), maxShown))
	}
	const held = "zavhoz: %s held: zavhoz runs changes shows them, then runs keep or discard"
	if !r.a.person() {
		r.a.hint(held+"; --keep makes them at once", changes)
		return frames.Reply{Later: true}
	}
	r.forget()
	switch r.answer("Make " + changes + " in the real folders?") {
	case "y":
		r.wish = "kept"
		return frames.Reply{Keep: true}
	case "n":
		r.wish = "thrown away"
		return frames.Reply{}
	}
	r.a.hint(held, changes)
	return frames.Reply{Later: true}
}

// quiet is how long nothing may have come from the keyboard before a question is put: what arrives sooner was typed for the command.
const quiet = 200 * time.Millisecond

// forget drops what was typed for the command: it is no answer.
func (r *attendance) forget() {
	for {
		flushInput(r.a.stdin)
		select {
		case _, more := <-r.typed:
			if !more {
				return
			}
		case <-time.After(quiet):
			return
		}
	}
}

// maxAsked is how often a question is put before no answer is one.
const maxAsked = 20

// answer asks until a yes, a no or a later is given: a key that slips, Enter or Ctrl-D, throws nobody's work away.
func (r *attendance) answer(question string) string {
	for range maxAsked {
		fmt.Fprint(r.a.stderr, question+" [y/n/later] ")
		line, err := r.line()
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return "y"
		case "n", "no":
			return "n"
		case "l", "later":
			return "l"
		}
		if err != nil {
			fmt.Fprintln(r.a.stderr)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "l" // the terminal is gone
		}
	}
	return "l"
}

// line is the next whole line that is typed. Ctrl-D ends the one who listens, not the terminal.
func (r *attendance) line() (string, error) {
	for b := range r.typed {
		if line, whole := strings.CutSuffix(string(b), "\n"); whole { // what a raw terminal gave before has none
			return line, nil
		}
	}
	b, err := readLine(r.a.stdin, make([]byte, 0, maxTyped))
	return string(b), err
}

// maxShown is how many changes a question shows.
const maxShown = 40

// conclusion says how the run ended, where its command did not do that itself.
func (a *app) conclusion(end frames.End, err error) error {
	if err != nil {
		why := fault.New(fault.DaemonRestarted, "the daemon went away, and the run with it", "start it again; `zavhoz doctor` says more").Because(err)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !unread(err) {
			why = fault.New(fault.Canceled, "the run cannot be attended from here any more, and was ended", "").Because(err)
		}
		return refused(a, why)
	}
	if end.Redactions > 0 {
		a.hint("zavhoz: %s redacted", count(end.Redactions, "secret value"))
	}
	a.refusals(end.Refused)
	if end.Code != "" {
		a.fail(fault.Of(problem(api.Problem{Code: end.Code, Detail: end.Message, Next: end.Next})))
	}
	if end.Exit != 0 {
		return exitCode(end.Exit)
	}
	return nil
}

// refusals tells what the run was refused on its way out: programs seldom show the proxy's own words.
func (a *app) refusals(all []frames.Refusal) {
	unnamed := false
	for _, r := range all {
		times := ""
		if r.Count > 1 {
			times = fmt.Sprintf(", %d times", r.Count)
		}
		a.hint("zavhoz: refused on the way out: %s [%s]%s", plain(r.Where), plain(r.Code), times)
		unnamed = unnamed || r.Code == string(fault.HostNotAllowed)
	}
	if unnamed {
		a.hint("  next: a host that is needed can be passed through, without any credential: --pass-through HOST")
	}
}
