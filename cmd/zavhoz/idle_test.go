package main

import (
	"testing"
	"time"
)

func TestIdleness(t *testing.T) {
	for _, c := range []struct {
		name          string
		after, silent time.Duration
		inside        int
		want          bool
	}{
		{"long enough", time.Second, time.Minute, 0, true},
		{"not yet", time.Hour, time.Minute, 0, false},
		{"somebody is there", time.Second, time.Minute, 1, false},
		{"never", 0, 100 * time.Hour, 0, false},
	} {
		i := newIdleness(c.after)
		i.since = time.Now().Add(-c.silent)
		for range c.inside {
			defer i.enter()()
		}
		if got := i.long(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	i := newIdleness(time.Hour)
	i.since = time.Now().Add(-2 * time.Hour)
	i.enter()()
	if i.long() {
		t.Error("a visit just now, and the daemon is idle")
	}
}
