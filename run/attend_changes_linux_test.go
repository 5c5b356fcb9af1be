package run_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What a person says of changes is what happens to them, on record as any other settling; who says nothing finds them on the shelf.
func TestAttendKeepsWhatThePersonKeeps(t *testing.T) {
	for says, recorded := range map[run.Decision]string{run.Discard: "discard", run.Keep: "keep", run.Later: ""} {
		var settled []string
		_, e := realHouse(t, func(o *run.Options) {
			o.Note = func(_ context.Context, e audit.Event) error {
				if e.Action == audit.RunSettle {
					settled = append(settled, string(e.Outcome)+" "+e.Detail["changes"]+" "+e.Detail["count"]+" "+string(e.Actor.Type))
				}
				return nil
			}
		})
		dir := folder(t, map[string]string{"old": "old\n", "gone": "gone\n"})
		s := attend(t, e, run.AttendRequest{
			Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.Overlay}}, Command: []string{"sh", "-c", "echo new > fresh; echo more >> old; rm gone"},
		}, func(s *screen) { s.says = says })
		if end := s.end(); end.ExitCode != 0 || end.Fault != nil || len(s.asked) != 3 {
			t.Fatalf("%+v, asked about %v: %q", end, s.asked, s.out(1))
		}
		_, fresh := os.Stat(filepath.Join(dir, "fresh"))
		_, gone := os.Stat(filepath.Join(dir, "gone"))
		old, err := os.ReadFile(filepath.Join(dir, "old"))
		if kept := fresh == nil && gone != nil && string(old) == "old\nmore\n"; err != nil || kept != (says == run.Keep) {
			t.Errorf("%s: %v, %v, %q", says, fresh, gone, old)
		}
		if want := "allowed " + recorded + " 3 operator"; recorded != "" && (len(settled) != 1 || settled[0] != want) || recorded == "" && len(settled) != 0 {
			t.Errorf("%s: on record is %q", says, settled)
		}
		if held, err := e.Holding(person); err != nil || (len(held) == 1) != (says == run.Later) {
			t.Errorf("%s: held %+v %v", says, held, err)
		}
	}
}

// A person's own edit while their run went on is not overwritten by a "keep" at its end: the changes are held, and they are told why.
func TestAttendKeepsNothingOverAPersonsEdit(t *testing.T) {
	_, e := realHouse(t, nil)
	dir := folder(t, map[string]string{"old": "old\n"})
	s := attend(t, e, run.AttendRequest{
		Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.Overlay}}, Command: []string{"sh", "-c", "echo theirs >> old; echo ready; read x; true"},
	}, func(s *screen) { s.says = run.Keep })
	s.expect("ready")
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("the person's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.types("go\n")
	if end := s.end(); end.Fault == nil || end.Fault.Code != fault.VersionConflict || end.ExitCode != fault.ExitRunRefused {
		t.Errorf("%+v", end)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(b) != "the person's\n" {
		t.Errorf("%q %v", b, err)
	}
	if held, err := e.Holding(person); err != nil || len(held) != 1 {
		t.Errorf("%+v %v", held, err)
	}
}
