package quick

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/zavhoz/zavhoz/run/process"
)

// catch keeps signals from ending us before the command has ended. Given the started command, what it returns forwards them: the end of a terminal's
// session and a request to end go on to the command; what a person types (Ctrl-C, Ctrl-\) the terminal itself sends to the whole foreground
// group, and what becomes of it is the command's affair. A broken pipe comes back from Write. What follow gives ends the forwarding.
func catch() (follow func(*process.Process) (stop func())) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	stop := func() { signal.Stop(signals) }
	return func(p *process.Process) func() {
		if p == nil {
			stop()
			return stop
		}
		go func() {
			for {
				select {
				case s := <-signals:
					if s != syscall.SIGPIPE && !(typed(s) && inForeground()) {
						forward(p, s)
					}
				case <-p.Done():
					return
				}
			}
		}()
		return stop
	}
}

func typed(s os.Signal) bool { return s == os.Interrupt || s == syscall.SIGQUIT }
