package main

import (
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// pair is two daemons of one vault with a watched job, and a door of each.
func pair(t *testing.T) (all []*place, doors [2]*stdioDoor) {
	t.Helper()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all = replicas(t, address, address)
	all[0].watched("local")
	for i := range doors {
		doors[i] = all[i].open()
		doors[i].greet()
	}
	return all, doors
}

// TestApprovalsAreOfTheVault: asked through one daemon, approved through the other, a call runs once, through whichever comes first; a denial holds at both.
func TestApprovalsAreOfTheVault(t *testing.T) {
	t.Parallel()
	all, doors := pair(t)
	ref := doors[0].asks("one")
	if again := doors[1].asks("one"); again != ref {
		t.Errorf("one call is two requests: %s, %s", ref, again)
	}
	all[1].ok("approve", ref)
	if s := all[0].stateOf(ref); s != "approved" {
		t.Errorf("seen at the other: %s", s)
	}
	got := through(all, "one", 3)
	ran, asked := 0, map[string]int{}
	for _, o := range got {
		if o.said == "one\n" {
			ran++
		} else if o.code == "approval_required" {
			asked[o.ref]++
		} else {
			t.Errorf("%+v", o)
		}
	}
	if ran != 1 || len(asked) != 1 || asked[ref] != 0 {
		t.Errorf("one word: %d runs, asked anew %v", ran, asked)
	}
	if s := all[1].stateOf(ref); s != "spent" {
		t.Errorf("after its run: %s", s)
	}
	for next := range asked {
		all[0].ok("deny", next, "--why", "once is enough")
		for _, d := range doors {
			if o := d.says("one"); o.code != "approval_denied" || o.ref != next {
				t.Errorf("denied at the other: %+v", o)
			}
		}
	}
	for _, p := range all {
		p.ok("audit", "verify")
	}
}

// through makes a call by several doors of each daemon at once.
func through(all []*place, words string, doors int) []outcomeOf {
	var ready []*stdioDoor
	for _, p := range all {
		for range doors {
			d := p.open()
			d.greet()
			ready = append(ready, d)
		}
	}
	out := make([]outcomeOf, len(ready))
	start := make(chan struct{})
	var callers sync.WaitGroup
	for i, d := range ready {
		callers.Go(func() {
			<-start
			out[i] = d.says(words)
		})
	}
	close(start)
	callers.Wait()
	return out
}

// TestALockWithdrawsApprovalsForAll: what was approved before one daemon was locked runs through none of them after, and is asked for anew; what waited may be approved after.
func TestALockWithdrawsApprovalsForAll(t *testing.T) {
	t.Parallel()
	all, doors := pair(t)
	approved, waits := doors[0].asks("one"), doors[0].asks("two")
	all[1].ok("approve", approved)
	all[0].ok("lock")
	until(t, "the other daemon is locked", all[1].locked)
	for _, p := range all {
		p.ok("unlock")
	}
	for _, d := range doors {
		if now := d.asks("one"); now == approved {
			t.Errorf("the word from before the lock stands")
		}
		if still := d.asks("two"); still != waits {
			t.Errorf("what waited is another request: %s", still)
		}
	}
	if s := all[1].stateOf(approved); s != "expired" {
		t.Errorf("what was approved: %s", s)
	}
	if r := all[0].run("", "approve", approved); r.code == 0 {
		t.Errorf("approved again: %v", r)
	}
	all[0].ok("approve", waits)
	if o := doors[1].says("two"); o.said != "two\n" {
		t.Errorf("approved after: %+v", o)
	}
}

// TestApprovalsOutliveTheirDaemon: the daemon that took a request is killed, and one that was given the word: both are as they were for the other.
func TestApprovalsOutliveTheirDaemon(t *testing.T) {
	t.Parallel()
	all, doors := pair(t)
	ref, word := doors[0].asks("one"), doors[0].asks("two")
	all[0].ok("approve", word)
	kill(t, all[0].status().PID)
	if again := doors[1].asks("one"); again != ref {
		t.Errorf("asked for anew: %s", again)
	}
	all[1].ok("approve", ref)
	for _, words := range []string{"one", "two"} {
		if o := doors[1].says(words); o.said != words+"\n" {
			t.Errorf("%s: %+v", words, o)
		}
	}
	for words, was := range map[string]string{"one": ref, "two": word} {
		if o := doors[0].says(words); o.code != "approval_required" || o.ref == was { // its relay starts the daemon again
			t.Errorf("%s, once more, through the one that was killed: %+v", words, o)
		}
		if s := all[0].stateOf(was); s != "spent" {
			t.Errorf("%s: %s", words, s)
		}
	}
	all[0].ok("audit", "verify")
}
