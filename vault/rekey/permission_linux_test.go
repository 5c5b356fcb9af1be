package rekey_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// Before each commit of a rotation in turn the vault's file becomes one that may not be written: the rotation stops, says why, and every value can be read; with the right given back the next
// process brings it to its end.
func TestARotationLosesTheRightToWriteBeforeEachCommit(t *testing.T) {
	for n, finished := 0, false; !finished; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newHouse(t)
			h.furnish(12)
			before, old := h.values(), h.k.Current()
			must(t, h.Noted(ctx)) // nothing is written meanwhile
			denied := vaulttest.NewDenied(t, h.disk.Store, h.in.Path, n)
			h.disk.Store = denied
			stop := h.runs()
			_, err := h.Rotate(ctx, operator, nil)
			problem := fault.Of(err)
			for problem == nil && !finished {
				p, perr := h.Progress(ctx)
				must(t, perr)
				finished, problem = !p.Running, p.Problem
			}
			stop()
			if problem != nil && (problem.Code != fault.Internal || !strings.Contains(problem.Message, "may not be written: nothing was changed")) {
				t.Errorf("it says %v", problem)
			}
			if err != nil && h.k.Current() != old {
				t.Error("a rotation that never began left its key")
			}
			if !maps.Equal(before, h.values()) {
				t.Error("values changed")
			}
			if was := denied.Allow(); was == finished {
				t.Fatalf("denied: %v, finished: %v", was, finished)
			}
			h.restart()
			if err != nil {
				_, err = h.Rotate(ctx, operator, nil)
				must(t, err)
			}
			defer h.runs()()
			h.settle()
			if !maps.Equal(before, h.values()) {
				t.Error("values changed when it went on")
			}
			must(t, h.Verify(ctx))
			if key := h.k.Current(); key == old || len(h.traces(old)) > 0 {
				t.Errorf("%v under the former key", h.traces(old))
			}
		})
		if t.Failed() || n > 100 {
			break
		}
		if finished && n < 4 {
			t.Fatalf("it has %d commits only", n)
		}
	}
}

var _ store.Store = (*vaulttest.Denied)(nil)
