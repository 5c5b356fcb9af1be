package process_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/process"
)

// slow holds the first write until it is let go, and counts.
type slow struct {
	stuck
	bytes int
}

func (s *slow) Write(p []byte) (int, error) {
	n, err := s.stuck.Write(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += n
	return n, err
}

// Who reads slowly (a pager, a terminal that was stopped) gets all of it, however long after the command's end.
func TestASlowReaderLosesNothing(t *testing.T) {
	out := &slow{stuck: stuck{began: make(chan struct{}), wake: make(chan struct{})}}
	more := filepath.Join(t.TempDir(), "more")
	const delay = 10 * time.Millisecond
	p, err := process.Start(process.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", `echo first; until test -e "$0"; do sleep 0.01; done; head -c 60000 /dev/zero`, more},
		Env: []string{"PATH=/bin:/usr/bin"}, Stdout: out, WaitDelay: delay})
	if err != nil {
		t.Fatal(err)
	}
	<-out.began
	if err := os.WriteFile(more, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); syscall.Kill(p.Pid(), 0) == nil; time.Sleep(delay) {
		if time.Now().After(end) {
			t.Fatal("the command does not end")
		}
	}
	time.Sleep(20 * delay) // well beyond the wait for who else holds the pipe
	close(out.wake)
	exit := p.Wait()
	if out.bytes != 60006 || exit.PipesCut || exit.Code != 0 {
		t.Errorf("%d bytes, %+v", out.bytes, exit)
	}
}

// Who holds the pipe and goes on writing is given up on, after what was there.
func TestADescendantThatGoesOnWriting(t *testing.T) {
	out := &slow{stuck: stuck{began: make(chan struct{}), wake: make(chan struct{})}}
	close(out.wake)
	p, err := process.Start(process.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", `setsid sh -c ': >"$0"; i=0; while [ $i -lt 200 ]; do echo more || exit; i=$((i+1)); sleep 0.05; done' "$0" & until test -e "$0"; do sleep 0.01; done; echo first`,
		filepath.Join(t.TempDir(), "away")},
		Env: []string{"PATH=/bin:/usr/bin"}, Stdout: out, WaitDelay: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second): // the descendant would write for ten
		t.Fatal("it waits for a stranger")
	}
	if exit := p.Wait(); !exit.PipesCut || out.bytes < 6 {
		t.Errorf("%d bytes, %+v", out.bytes, exit)
	}
}
