package main

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What a run wrote lies on the machine of its daemon: whoever asks another is told which machine, as long as anybody knows.
func TestWhereARunsChangesAre(t *testing.T) {
	self := vault.Replica{ID: "rpl_self", Host: "here", PID: 1}
	far, near := vault.Replica{ID: "rpl_far", Host: "there", PID: 42}, vault.Replica{ID: "rpl_near", Host: "here", PID: 43}
	for name, c := range map[string]struct {
		run  vault.Run
		host string
		says []string
	}{
		"a daemon of another machine":      {vault.Run{ID: "run_a", Owner: "rpl_far", Host: "there"}, "there", []string{"the daemon on there, process 42", "zavhoz runs changes run_a"}},
		"another daemon of this machine":   {vault.Run{ID: "run_a", Owner: "rpl_near", Host: "here"}, "here", []string{"the daemon on here, process 43", "home"}},
		"one that is gone, elsewhere":      {vault.Run{ID: "run_a", Owner: "rpl_gone", Host: "there"}, "there", []string{"a daemon on there", "zavhoz runs changes run_a"}},
		"one that is gone, here":           {vault.Run{ID: "run_a", Owner: "rpl_gone", Host: "here"}, "here", []string{"earlier daemon of this machine", "--home FOLDER"}},
		"one of before machines were kept": {vault.Run{ID: "run_a", Owner: "rpl_gone"}, "", nil},
	} {
		f := heldElsewhere(c.run, self, []vault.Replica{self, far, near})
		if c.says == nil {
			if f != nil {
				t.Errorf("%s: %v", name, f)
			}
			continue
		}
		if f == nil || f.Code != fault.UnknownRun || f.Details["host"] != c.host {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(f.Error(), word) {
				t.Errorf("%s: %q is not in: %v", name, word, f)
			}
		}
	}
}

// Whose changes a later run of this home went on from is told where they are, whichever daemon began it.
func TestChangesThatWentOnAreHere(t *testing.T) {
	on := fault.New(fault.UnknownRun, "they are held as changes of run_b", "").Because(run.ErrPassedOn)
	if err := (openRuns{}).where(t.Context(), vault.OperatorActor(), "run_a", on); err != error(on) {
		t.Errorf("%v", err)
	}
}
