package run_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// diffed runs a script beside a folder and gives what a person who is present sees of it, by path.
func diffed(t *testing.T, e *run.Engine, id string) map[string]run.FileDiff {
	t.Helper()
	diffs, err := e.Diff(t.Context(), person, id, true)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]run.FileDiff{}
	for _, d := range diffs {
		got[d.Change.Path] = d
	}
	return got
}

// Each way in which a path can change has its word, or a text that names both sides.
func TestADiffSaysWhyThereIsNone(t *testing.T) {
	long := strings.Repeat("x", 5000)
	dir := worktree(t, map[string]string{
		"rights": "same\n", "gone": "gone\n", "folder/in": "x\n", "to_binary": "text\n", "from_binary": "\x00", "latin": "caf\xe9\n", "huge": strings.Repeat("line of a huge file\n", 60_000), "long": long + "1\n",
		"value": "k=" + acmeKey + "\n", "emptied": "", "fills": strings.Repeat("y", 1<<20), "over": strings.Repeat("y", 1<<20+1), "tab": "a\tb\nkeep\n",
	})
	if err := errors.Join(os.Symlink("gone", filepath.Join(dir, "link")), os.Symlink("gone", filepath.Join(dir, "turned"))); err != nil {
		t.Fatal(err)
	}
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	encoded := hex.EncodeToString([]byte(acmeKey))
	res := mustRun(t, e, besides(dir, `chmod 755 rights; rm -r folder gone link; printf '\0' >to_binary; echo text >from_binary; echo text >latin; echo small >huge; printf 'k=`+encoded+`\n' >value
sed -i 's/1$/2/' long; printf 'a\tc\nkeep\n' >tab; printf 'v\357\270\217\342\200\213\r\n' >new; printf x >"$(printf 'odd\033name')"; mkdir made
rm emptied turned; echo text >turned; : >nothing; printf z >>over; printf z | dd of=fills conv=notrunc 2>/dev/null; printf 'a\343\205\244b\342\240\200c\341\205\237d\315\217e\342\201\246f\n' >blanks`))
	got := diffed(t, e, res.RunID)
	for p, want := range map[string]string{
		"rights": run.RightsOnly, "folder": run.NoFile, "link": run.NoFile, "made": run.NoFile, "to_binary": run.Binary, "from_binary": run.Binary, "latin": run.Binary, "huge": run.TooLarge, "over": run.TooLarge, "value": run.MaskedOnly,
	} {
		if d, there := got[p]; !there || d.Why != want || d.Text != "" || d.What != "" {
			t.Errorf("%s: there %v, why %q, what %q, %.200q", p, there, d.Why, d.What, d.Text)
		}
	}
	at := strings.TrimPrefix(dir, "/")
	for p, want := range map[string][]string{
		"emptied": {"--- a/" + at + "/emptied\n+++ /dev/null\n"}, "nothing": {"--- /dev/null\n+++ b/" + at + "/nothing\n"}, "fills": {"-yyyy", "+zyyy"},
		"turned": {"--- /dev/null\n+++ b/" + at + "/turned\n", "+text\n"}, "blanks": {"+a<U+3164>b<U+2800>c<U+115F>d<U+034F>e<U+2066>f\n"},
		"gone": {"--- a/" + at + "/gone\n+++ /dev/null\n", "-gone\n"}, "new": {"--- /dev/null\n+++ b/" + at + "/new\n", "+v<U+FE0F><U+200B><U+000D>\n"},
		"odd\x1bname": {"+++ b/" + at + "/odd<U+001B>name\n", "+x\n"}, "tab": {"--- a/" + at + "/tab\n+++ b/" + at + "/tab\n", "-a\tb\n+a\tc\n keep\n"},
		"long": {"-" + long[:4095] + "…\n", "+" + long[:4095] + "…\n"},
	} {
		for _, part := range want {
			if d := got[p]; !strings.Contains(d.Text, part) || d.Why != "" {
				t.Errorf("%q: %q, not %q in %.400q", p, d.Why, part, d.Text)
			}
		}
	}
	if _, err := e.Diff(t.Context(), person, "run_aaaaaaaaaaaaaaaaaaaaaaaaaa", true); fault.CodeOf(err) != fault.UnknownRun {
		t.Errorf("a run that holds nothing: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if diffs, err := e.Diff(gone, person, res.RunID, true); !errors.Is(err, context.Canceled) || diffs != nil {
		t.Errorf("the caller went away: %v %v", diffs, err)
	}
	holding(t, e, 1)
}

// What happened in the folder since the run is told, and the diff is with what is there now.
func TestADiffIsWithTheFolderAsItIsNow(t *testing.T) {
	dir := worktree(t, map[string]string{"changed": "one\n", "deleted": "one\n", "became": "one\n", "as": "one\n", "went": "one\n", "kept": "one\n"})
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	res := mustRun(t, e, besides(dir, `for f in changed deleted became as; do echo two >$f; done; echo mine >appeared; rm went kept`))
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(in("changed"), []byte("three\n"), 0o644), os.Remove(in("deleted")), os.Remove(in("went")), os.Remove(in("became")), os.Mkdir(in("became"), 0o755), os.WriteFile(in("appeared"), []byte("theirs\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	got := diffed(t, e, res.RunID)
	for p, want := range map[string]struct {
		what sandbox.Happening
		text string
	}{
		"changed": {sandbox.HappenedChange, "-three\n+two\n"}, "deleted": {sandbox.HappenedDelete, "--- /dev/null\n"}, "as": {"", "-one\n+two\n"}, "kept": {"", "+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"}, "appeared": {sandbox.HappenedAppear, "-theirs\n+mine\n"},
	} {
		if d := got[p]; d.What != want.what || d.Why != "" || !strings.Contains(d.Text, want.text) {
			t.Errorf("%s: %q %q %q", p, d.What, d.Why, d.Text)
		}
	}
	for p, what := range map[string]sandbox.Happening{"became": sandbox.HappenedType, "went": ""} {
		if d := got[p]; d.What != what || d.Why != run.NoFile || d.Text != "" {
			t.Errorf("%s: %+v", p, d)
		}
	}
}

// All diffs together have a bound; what comes after it is named, and not compared.
func TestTheDiffsOfARunHaveABound(t *testing.T) {
	dir := worktree(t, map[string]string{"README": "readme\n"})
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	const files = 12
	res := mustRun(t, e, besides(dir, `for i in 01 02 03 04 05 06 07 08 09 10 11 12; do yes "a line of text, of some length, so that there are not too many" | head -c 1000000 >big$i; done`))
	if len(res.Changes) != files {
		t.Fatalf("%d changes", len(res.Changes))
	}
	diffs, err := e.Diff(t.Context(), person, res.RunID, true)
	if err != nil || len(diffs) != files {
		t.Fatalf("%d %v", len(diffs), err)
	}
	all, shown, ends := 0, 0, false
	for i, d := range diffs {
		if all += len(d.Text); d.Text != "" {
			shown++
		}
		if ends = ends || d.Text == ""; ends != (d.Text == "") || ends != (d.Why == run.BeyondAll) {
			t.Errorf("%d, %s: %q, %d bytes", i, d.Change.Path, d.Why, len(d.Text))
		}
	}
	if all > 8<<20 || shown < 7 || shown == files {
		t.Errorf("%d bytes of %d files", all, shown)
	}
}

// Where the vault's secrets cannot be read nothing is shown, for nothing could be masked.
func TestAttack60_ADiffWithoutTheVaultsSecretsShowsNothing(t *testing.T) {
	dir := worktree(t, map[string]string{"README": "readme\n"})
	h, e := realHouse(t, opened(dir, sandbox.Overlay))
	h.acme(newUpstream(t, nil))
	res := mustRun(t, e, besides(dir, `echo `+acmeKey+` >guess`))
	h.mu.Lock()
	h.secretErr = fault.New(fault.RecordTampered, "does not open", "")
	h.mu.Unlock()
	e.Forget()
	for _, present := range []bool{true, false} {
		if diffs, err := e.Diff(t.Context(), person, res.RunID, present); fault.CodeOf(err) != fault.OutputWithheld || len(diffs) != 0 || strings.Contains(fmt.Sprint(err), acmeKey) {
			t.Errorf("present %v: %v %v", present, diffs, err)
		}
	}
	holding(t, e, 1)
}

// What somebody put into the layer after the run is shown to nobody as the run's work; and an engine that has ended shows nothing.
func TestADiffOfAChangedLayerIsRefused(t *testing.T) {
	dir, shelf := worktree(t, map[string]string{"README": "readme\n"}), newShelf(t)
	h, e := realHouse(t, shelfAt(shelf, dir))
	h.acme(newUpstream(t, nil))
	res := mustRun(t, e, besides(dir, `echo mine >made`))
	found := 0
	err := filepath.WalkDir(shelf, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "made" {
			found++
			return os.WriteFile(p, []byte("ours\n"), 0o644)
		}
		return nil // what overlayfs works in cannot be entered
	})
	if err != nil || found != 1 {
		t.Fatal(found, err)
	}
	if diffs, err := e.Diff(t.Context(), person, res.RunID, true); fault.CodeOf(err) != fault.RecordTampered || diffs != nil {
		t.Errorf("%v %v", diffs, err)
	}
	holding(t, e, 1)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diffs, err := e.Diff(t.Context(), person, res.RunID, true); err == nil || diffs != nil {
		t.Errorf("after its end: %v", diffs)
	}
}
