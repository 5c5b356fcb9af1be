package main

import (
	"fmt"
	"sync"
	"time"
)

// Times of a progress line.
const (
	progressAfter = 700 * time.Millisecond // what is quick shows none
	progressEvery = time.Second
)

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
		for visible := false; ; visible = true {
			select {
			case <-tick.C:
				fmt.Fprintf(a.stderr, "\r%s… %s\x1b[K", what, span(time.Since(begun)))
				tick.Reset(progressEvery)
			case <-stop:
				if visible {
					fmt.Fprint(a.stderr, "\r\x1b[K")
				}
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		shown.Wait()
	})
}
