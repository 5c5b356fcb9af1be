package run_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// macOf is what a vault's keyring marks with, under a key of the test's.
func macOf(key string) func(string, ...[]byte) [32]byte {
	return func(label string, parts ...[]byte) (out [32]byte) {
		h := hmac.New(sha256.New, []byte(key))
		for _, p := range append([][]byte{[]byte(label)}, parts...) {
			fmt.Fprintf(h, "%d ", len(p))
			h.Write(p)
		}
		copy(out[:], h.Sum(nil))
		return out
	}
}

// shelf lets an engine hold what runs write beside dir on a shelf that stays.
func shelfAt(shelf, dir string) func(*run.Options) {
	return func(o *run.Options) {
		opened(dir, sandbox.Overlay)(o)
		o.Shelf, o.MAC = shelf, macOf("the vault's key")
	}
}

// newShelf is where one is to be.
func newShelf(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+rwX", dir).Run() }) // what overlayfs works in cannot be entered
	return filepath.Join(dir, "shelf")
}

// besides is a script of alice's beside the folder.
func besides(dir, script string) run.Request {
	r := sh(script)
	r.Cwd = dir
	return r
}

// holding gives what is held, of which there must be n.
func holding(t *testing.T, e *run.Engine, n int) []run.Held {
	t.Helper()
	all, err := e.Holding(person)
	if err != nil || len(all) != n {
		t.Fatalf("held: %+v %v", all, err)
	}
	return all
}

// A daemon that comes after finds what was held; what its record says went on is settled with the later run.
func TestHeldChangesGoOnAndOutliveTheEngine(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		dir, shelf := worktree(t, map[string]string{"README": "readme\n"}), newShelf(t)
		var events []string
		edit := func(o *run.Options) {
			shelfAt(shelf, dir)(o)
			o.Note = func(_ context.Context, e audit.Event) error {
				if e.Action == audit.RunSettle {
					events = append(events, fmt.Sprint(e.Outcome, " ", e.Subject, " ", e.Detail["changes"], " ", e.Detail["in"]))
				}
				return nil
			}
		}
		h, e := realHouse(t, edit)
		h.acme(newUpstream(t, nil))
		one := mustRun(t, e, besides(dir, `echo one >made; printf x >"$(printf 'odd\377name')"`))
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		h, e = realHouse(t, edit)
		h.acme(newUpstream(t, nil))
		if all := holding(t, e, 1); all[0].RunID != one.RunID || len(all[0].Changes) != 2 || all[0].Changes[1].Path != "odd\377name" || !all[0].Lasting || all[0].Agent != "alice" {
			t.Fatalf("%+v", all)
		}
		two := mustRun(t, e, besides(dir, `cat made; echo two >>made`))
		if two.Stdout != "one\n" || two.From != one.RunID || len(two.Changes) != 2 {
			t.Fatalf("%+v", two)
		}
		if all := holding(t, e, 1); all[0].RunID != two.RunID || len(all[0].Before) != 1 || all[0].Before[0] != one.RunID {
			t.Errorf("%+v", all)
		}
		if err := e.Settle(t.Context(), person, one.RunID, run.Settling{Keep: true}); fault.CodeOf(err) != fault.UnknownRun || !strings.Contains(err.Error(), two.RunID) {
			t.Errorf("the first run's: %v", err)
		}
		if err := e.Settle(t.Context(), person, two.RunID, run.Settling{Keep: true}); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(dir + "/made"); err != nil || string(b) != "one\ntwo\n" {
			t.Errorf("%q %v", b, err)
		}
		if res, err := e.Get(t.Context(), alice, two.RunID, 0); err != nil || len(res.Changes) != 0 {
			t.Errorf("the agent is still told of them: %+v %v", res, err)
		}
		want := []string{"allowed " + one.RunID + " went_on " + two.RunID, "allowed " + two.RunID + " keep "}
		if strings.Join(events, "\n") != strings.Join(want, "\n") {
			t.Errorf("on record: %q", events)
		}
		if left, err := os.ReadDir(shelf); err != nil || len(left) != 0 {
			t.Errorf("left: %v %v", left, err)
		}
	})
}

// A daemon that is killed while a run writes leaves the layer, and where it belongs: what the run wrote until then is held by the next.
func TestAKilledDaemonsRunIsHeldByTheNext(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		dir, shelf, copied := worktree(t, map[string]string{"README": "readme\n"}), newShelf(t), newShelf(t)
		h, e := realHouse(t, shelfAt(shelf, dir))
		h.acme(newUpstream(t, nil))
		first := mustRun(t, e, besides(dir, `echo one >made`))
		r := besides(dir, `echo two >>made; echo half; sleep 60`)
		r.Background = true
		res := mustRun(t, e, r)
		for got := ""; !strings.Contains(got, "half"); time.Sleep(time.Millisecond) {
			page, err := e.Get(t.Context(), alice, res.RunID, 0)
			if err != nil || page.State != "running" {
				t.Fatalf("%+v %v", page, err)
			}
			got = page.Stdout
		}
		if out, err := exec.Command("cp", "-a", shelf, copied).CombinedOutput(); err != nil && os.Geteuid() == 0 { // at this moment it is killed; of the workings of overlayfs a user copies nothing
			t.Fatalf("%s %v", out, err)
		}
		if err := e.Settle(t.Context(), person, first.RunID, run.Settling{}); fault.CodeOf(err) != fault.Busy {
			t.Errorf("what a run under way has is settled: %v", err)
		}
		_, next := realHouse(t, shelfAt(copied, dir))
		if all := holding(t, next, 1); all[0].RunID != res.RunID || len(all[0].Changes) != 1 || all[0].Changes[0].Bytes != 8 || all[0].Before[0] != first.RunID {
			t.Errorf("%+v", all)
		}
		if _, err := next.Diff(t.Context(), person, first.RunID, true); !errors.Is(err, run.ErrPassedOn) {
			t.Errorf("the first one's: %v", err)
		}
		if err := next.Settle(t.Context(), person, res.RunID, run.Settling{Keep: true}); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(dir + "/made"); err != nil || string(b) != "one\ntwo\n" {
			t.Errorf("%q %v", b, err)
		}
	})
}

// Two runs of one agent at once do not share a layer, and the later is told so.
func TestRunsAtOnceHaveLayersOfTheirOwn(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		dir := worktree(t, map[string]string{"README": "readme\n"})
		h, e := realHouse(t, opened(dir, sandbox.Overlay))
		h.acme(newUpstream(t, nil))
		r := besides(dir, `echo a >a; echo ready; sleep 60`)
		r.Background = true
		first := mustRun(t, e, r)
		for got := ""; !strings.Contains(got, "ready"); time.Sleep(time.Millisecond) {
			page, err := e.Get(t.Context(), alice, first.RunID, 0)
			if err != nil {
				t.Fatal(err)
			}
			got = page.Stdout
		}
		second := mustRun(t, e, besides(dir, `ls; echo b >b`))
		if second.Stdout != "README\n" || second.Apart != first.RunID || second.From != "" {
			t.Errorf("%+v", second)
		}
		if res, err := e.Stop(t.Context(), alice, first.RunID); err != nil || len(res.Changes) != 1 {
			t.Errorf("%+v %v", res, err)
		}
		holding(t, e, 2)
	})
}

// Who has our user, but not the vault's key, writes nothing onto the shelf that a person is shown, and has nothing kept that was not shown.
func TestAForgedShelfIsNotRead(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		for name, forge := range map[string]func(shelf, entry string) error{
			"another command": func(_, entry string) error { return edited(entry, "touch", "ouch!") },
			"another folder":  func(_, entry string) error { return edited(entry, `"workdir":"/`, `"workdir":"/etc/`) },
			"another mark":    func(_, entry string) error { return edited(entry, "", "0") },
			"another key's": func(_, entry string) error {
				b, err := os.ReadFile(entry + "/changes")
				_, text, _ := strings.Cut(string(b), "\n")
				mark := macOf("another key")("shelf 1", []byte(strings.TrimSuffix(text, "\n")))
				return errors.Join(err, os.WriteFile(entry+"/changes", fmt.Appendf(nil, "%x\n%s", mark, text), 0o600))
			},
			"moved": func(shelf, entry string) error { return os.Rename(entry, shelf+"/run_aaaaaaaaaaaaaaaaaaaaaaaaaa") },
			"a link to it": func(shelf, entry string) error {
				return errors.Join(os.Rename(entry, shelf+"x"), os.Symlink(shelf+"x", entry))
			},
			"a link as its list": func(_, entry string) error {
				return errors.Join(os.Rename(entry+"/changes", entry+"/list"), os.Symlink("list", entry+"/changes"))
			},
		} {
			dir, shelf := worktree(t, map[string]string{"README": "readme\n"}), newShelf(t)
			h, e := realHouse(t, shelfAt(shelf, dir))
			h.acme(newUpstream(t, nil))
			res := mustRun(t, e, besides(dir, `touch made`))
			if err := e.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := forge(shelf, filepath.Join(shelf, res.RunID)); err != nil {
				t.Fatal(err)
			}
			_, next := realHouse(t, shelfAt(shelf, dir))
			if all, err := next.Holding(person); err != nil || len(all) != 0 {
				t.Errorf("%s: %+v %v", name, all, err)
			}
		}
	})
}

// edited puts other words into a list; without old, in its mark.
func edited(entry, old, fresh string) error {
	b, err := os.ReadFile(entry + "/changes")
	text := strings.Replace(string(b), old, fresh, 1)
	if text == string(b) {
		return errors.New("nothing to forge")
	}
	return errors.Join(err, os.WriteFile(entry+"/changes", []byte(text), 0o600))
}

// A diff masks what the vault knows, over lines too, and shows what was written to be overlooked.
func TestADiffHidesValuesAndNothingElse(t *testing.T) {
	dir := worktree(t, map[string]string{"old": "one\ntwo\n", "key": "key=" + acmeKey + "\nb\n", "bin": "\x00\x01", "gone": "gone\n"})
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	res := mustRun(t, e, besides(dir, `printf 'one\n\033[2Jtwo\342\200\256\n' >old; sed -i s/b/c/ key; printf '\0' >bin; rm gone; head -c 2000000 /dev/zero | tr '\0' a >big; chmod 755 old; ln -s /etc/passwd way`))
	if len(res.Changes) != 6 {
		t.Fatalf("%+v", res)
	}
	if _, err := e.Diff(t.Context(), alice, res.RunID, true); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("the agent sees it: %v", err)
	}
	diffs, err := e.Diff(t.Context(), person, res.RunID, true)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]run.FileDiff{}
	for _, d := range diffs {
		got[d.Change.Path] = d
		partOf(t, d.Text, acmeKey)
	}
	for p, want := range map[string]string{"old": "-two\n+<U+001B>[2Jtwo<U+202E>\n", "key": " key=[redacted:acme.key]\n-b\n+c\n", "gone": "-gone\n"} {
		if !strings.Contains(got[p].Text, want) {
			t.Errorf("%s: %q", p, got[p].Text)
		}
	}
	for p, want := range map[string]string{"bin": run.Binary, "big": run.TooLarge, "way": run.NoFile} {
		if got[p].Why != want || got[p].Text != "" {
			t.Errorf("%s: %+v", p, got[p])
		}
	}
	holding(t, e, 1)
}

// Who is not present sees that a guess was right, not of what; each is counted, and beyond the run's budget nothing is shown.
func TestAttack60_ADiffIsNoOracle(t *testing.T) {
	dir := worktree(t, map[string]string{"README": "readme\n"})
	h, e := realHouse(t, func(o *run.Options) { opened(dir, sandbox.Overlay)(o); o.RedactionBudget = 4 })
	h.acme(newUpstream(t, nil))
	res := mustRun(t, e, besides(dir, `for i in 1 2; do echo "x`+acmeKey+`" >guess$i; done`))
	for range 2 {
		diffs, err := e.Diff(t.Context(), person, res.RunID, false)
		if text := fmt.Sprint(diffs); err != nil || strings.Count(text, "+x[redacted]\n") != 2 || strings.Contains(text, "acme") {
			t.Errorf("%q %v", text, err)
		}
	}
	for range 2 {
		if diffs, err := e.Diff(t.Context(), person, res.RunID, false); fault.CodeOf(err) != fault.PresenceRequired || len(diffs) != 0 {
			t.Errorf("%+v %v", diffs, err)
		}
	}
	if diffs, err := e.Diff(t.Context(), person, res.RunID, true); err != nil || !strings.Contains(fmt.Sprint(diffs), "+x[redacted:acme.key]") {
		t.Errorf("%+v %v", diffs, err)
	}
	holding(t, e, 1)
}

// What waits for a person is never dropped for what comes: new runs beside folders are refused, others go on.
func TestAFullShelfRefusesNewRuns(t *testing.T) {
	dir := worktree(t, map[string]string{"README": "readme\n"})
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	r := besides(dir, `touch made`)
	for i := range 64 {
		r.Actor.ID, r.Actor.Name = fmt.Sprintf("agt_%d", i), "some"
		mustRun(t, e, r)
	}
	r.Actor.ID = "agt_late"
	if _, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.WorkdirRefused || !strings.Contains(err.Error(), "zavhoz runs changes") {
		t.Errorf("%v", err)
	}
	r.Cwd = ""
	mustRun(t, e, r)
	r.Cwd, r.Actor.ID = dir, "agt_7"
	if res := mustRun(t, e, r); res.From == "" {
		t.Errorf("%+v", res)
	}
	holding(t, e, 64)
}
