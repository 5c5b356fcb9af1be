package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Times of a progress line.
const (
	progressAfter = 700 * time.Millisecond // what is quick shows none
	progressEvery = time.Second
)

// line is the terminal's last one. While a person is asked something there, no progress is shown over the question.
type line struct {
	mu     sync.Mutex
	asking int
	shown  bool // progress stands there
}

// progress shows what goes on, unless somebody is being asked.
func (l *line) progress(w io.Writer, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asking == 0 {
		fmt.Fprintf(w, "\r%s\x1b[K", text)
		l.shown = true
	}
}

// wipe takes the progress away. Under a question there is none.
func (l *line) wipe(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		fmt.Fprint(w, "\r\x1b[K")
		l.shown = false
	}
}

// ask takes the progress away and keeps it away until done is called.
func (l *line) ask(w io.Writer) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		fmt.Fprint(w, "\r\x1b[K")
		l.shown = false
	}
	l.asking++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asking--
	})
}

// working shows on a terminal that something takes its time, and takes that line away when done is called. Elsewhere it shows nothing.
func (a *app) working(what string) (done func()) {
	if a.json || !isTerminal(a.stderr) {
		return func() {}
	}
	stop := make(chan struct{})
	var shown sync.WaitGroup
	begun := time.Now()
	shown.Go(func() {
		tick := time.NewTimer(progressAfter)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.line.progress(a.stderr, what+"… "+span(time.Since(begun)))
				tick.Reset(progressEvery)
			case <-stop:
				a.line.wipe(a.stderr)
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		shown.Wait()
	})
}
