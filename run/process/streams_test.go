package process_test

import (
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/process"
)

// stuck is a writer whose reader has gone to sleep.
type stuck struct {
	began chan struct{}
	once  sync.Once
	wake  chan struct{}

	mu    sync.Mutex
	wrote int
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.began) })
	<-s.wake
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote++
	return len(p), nil
}

// A writer that blocks is waited for; Kill ends that wait, also where the command ended long before, and nothing more is written then.
func TestKillEndsTheWaitForAStuckWriter(t *testing.T) {
	out := &stuck{began: make(chan struct{}), wake: make(chan struct{})}
	p, err := process.Start(process.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", "head -c 600000 /dev/zero"}, Env: []string{"PATH=/bin:/usr/bin"}, Stdout: out, WaitDelay: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-out.began
	select {
	case <-p.Done():
		t.Fatal("it did not wait for what blocks")
	case <-time.After(200 * time.Millisecond):
	}
	p.Kill()
	p.Kill()
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for good")
	}
	if exit := p.Wait(); !exit.PipesCut {
		t.Errorf("%+v", exit)
	}
	p.Stop() // after the end: nothing
	close(out.wake)
	time.Sleep(50 * time.Millisecond)
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.wrote > 1 { // the one that was under way
		t.Errorf("%d writes", out.wrote)
	}
}
