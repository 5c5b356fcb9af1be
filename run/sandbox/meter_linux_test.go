package sandbox_test

import (
	"os"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// What a run writes beside a folder is bounded in all: one that goes on is ended, one that has ended is not listed, and both say why.
func TestLayersAreBounded(t *testing.T) {
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		for name, c := range map[string]struct {
			script string
			limits sandbox.Limits
			goesOn bool
		}{
			"bytes and on":    {"i=0; while :; do head -c 1000000 /dev/zero >f$i; i=$((i+1)); done", sandbox.Limits{LayerMB: 8}, true},
			"files and on":    {"i=0; while :; do : >f$i; i=$((i+1)); done", sandbox.Limits{LayerFiles: 500}, true},
			"bytes":           {"for i in 1 2 3 4; do head -c 1000000 /dev/zero >f$i; done", sandbox.Limits{LayerMB: 3}, false},
			"holes":           {"truncate -s 1G f", sandbox.Limits{LayerMB: 64}, false},
			"in a shut house": {"mkdir -p a/b; for i in 1 2 3 4; do head -c 1000000 /dev/zero >a/b/f$i; done; chmod 0 a/b a .", sandbox.Limits{LayerMB: 3}, false},
			"files":           {"for i in 1 2 3 4 5 6; do : >f$i; done", sandbox.Limits{LayerFiles: 5}, false},
			"depth":           {"i=0; while [ $i -lt 300 ]; do mkdir n; cd -P n; i=$((i+1)); done", sandbox.Limits{}, false},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBox(t, s, policy.LevelSealed)
				dir := folder(t)
				had, _ := os.ReadDir(dir)
				out := &sink{}
				p, _ := start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", c.script}, Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.Overlay}}, Limits: c.limits, Stdout: out, Stderr: out})
				exit := p.Wait()
				if err := p.Cut(); fault.CodeOf(err) != fault.TooLarge || !strings.Contains(err.Error(), "more beside its folders") {
					t.Errorf("%v, %+v\n%s", err, exit, out)
				}
				if c.goesOn != (exit.Code == 137) {
					t.Errorf("%+v\n%s", exit, out)
				}
				if _, err := b.Changes(); fault.CodeOf(err) != fault.TooLarge {
					t.Errorf("listed: %v", err)
				}
				if err := b.Keep(); fault.CodeOf(err) != fault.TooLarge {
					t.Errorf("kept: %v", err)
				}
				if now, _ := os.ReadDir(dir); len(now) != len(had) {
					t.Errorf("the folder has %v", now)
				}
			})
		}
		t.Run("within", func(t *testing.T) {
			b := newBox(t, s, policy.LevelSealed)
			dir := folder(t)
			p, out := start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", "mkdir a; : >a/f; chmod 0 a; sleep 0.6"}, Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.Overlay}}, Limits: sandbox.Limits{LayerMB: 1, LayerFiles: 2}})
			if exit := p.Wait(); exit.Code != 0 || p.Cut() != nil {
				t.Errorf("%+v %v\n%s", exit, p.Cut(), out)
			}
			changes, err := b.Changes()
			if err != nil || len(changes) != 2 || changes[0].Mode.Perm() != 0 {
				t.Errorf("%+v %v", changes, err)
			}
		})
	})
}
