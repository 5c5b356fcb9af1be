package sandbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// shelved is what a run wrote beside a folder, on a shelf of the test's.
type shelved struct {
	S       *sandbox.Sandbox `json:"-"`
	Dir     string
	Refs    []sandbox.Layer
	Changes []sandbox.Change
}

// beside runs a script beside a folder, and puts what it wrote on a shelf.
func beside(t *testing.T, dir, script string) *shelved {
	t.Helper()
	temp, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &shelved{S: newSandbox(t, sandbox.Options{}), Dir: filepath.Join(temp, "shelf")}
	if err := os.Mkdir(w.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // what overlayfs works in cannot be entered
		_ = filepath.WalkDir(w.Dir, func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
	})
	w.run(t, dir, script)
	return w
}

// run runs a script beside the folder, where the one before left off.
func (w *shelved) run(t *testing.T, dir, script string) {
	t.Helper()
	b, err := w.S.Open(t.Context(), sandbox.BoxOptions{RunID: "run_test", Level: policy.LevelSealed, Layers: w.Dir, Had: w.Refs})
	if err != nil {
		t.Fatal(err)
	}
	out, exit := shell(t, b, script, in(dir, sandbox.Overlay))
	if exit.Code != 0 {
		t.Fatalf("%q %+v", out, exit)
	}
	w.Refs = b.Layers().Refs()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Changes, err = w.layers().List(w.Changes); err != nil {
		t.Fatal(err)
	}
}

func (w *shelved) layers() *sandbox.Layers { return w.S.Layers(w.Dir, w.Refs) }

// what gives conflicts as "path what".
func what(at []sandbox.Conflict) (out []string) {
	for _, c := range at {
		out = append(out, c.Path+" "+string(c.What))
	}
	return out
}

// everyFile gives the text of each file below a folder, and the names of what is none.
func everyFile(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name, text := strings.TrimPrefix(p, dir+"/"), d.Type().String()
		if d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".zavhoz-keep-") {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text = string(b)
		}
		all[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What a person did to a path since the run saw it is not overwritten: nothing at all is kept, and each path is named.
func TestKeepRefusesOverAPersonsChange(t *testing.T) {
	both(t, func(t *testing.T) {
		const script = `echo more >>old; echo new >new; rm sub/deep; mkdir made; echo x >made/x; rm -r tree; echo y >>other; echo z >sub/z`
		for name, c := range map[string]struct {
			happens func(dir string) error
			want    []string
		}{
			"nothing":       {func(string) error { return nil }, nil},
			"a file beside": {func(dir string) error { return os.WriteFile(dir+"/sub/mine", nil, 0o644) }, nil},
			"edited":        {func(dir string) error { return os.WriteFile(dir+"/old", []byte("mine\n"), 0o644) }, []string{"old changed"}},
			"saved by an editor": {func(dir string) error {
				return errors.Join(os.WriteFile(dir+"/~", []byte("mine\n"), 0o644), os.Rename(dir+"/~", dir+"/old"))
			}, []string{"old changed"}},
			"same size, time put back": {func(dir string) error {
				st, err := os.Stat(dir + "/old")
				return errors.Join(err, os.WriteFile(dir+"/old", []byte("OLD\n"), 0o644), os.Chtimes(dir+"/old", st.ModTime(), st.ModTime()))
			}, []string{"old changed"}},
			"edited what goes":      {func(dir string) error { return os.WriteFile(dir+"/sub/deep", []byte("mine\n"), 0o644) }, []string{"sub/deep changed"}},
			"deleted":               {func(dir string) error { return os.Remove(dir + "/old") }, []string{"old deleted"}},
			"deleted by both":       {func(dir string) error { return os.Remove(dir + "/sub/deep") }, nil},
			"appeared":              {func(dir string) error { return os.WriteFile(dir+"/new", []byte("mine\n"), 0o644) }, []string{"new appeared"}},
			"the same appeared":     {func(dir string) error { return os.WriteFile(dir+"/new", []byte("new\n"), 0o644) }, nil},
			"became a folder":       {func(dir string) error { return errors.Join(os.Remove(dir+"/old"), os.Mkdir(dir+"/old", 0o755)) }, []string{"old became another type"}},
			"became a link":         {func(dir string) error { return errors.Join(os.Remove(dir+"/old"), os.Symlink("other", dir+"/old")) }, []string{"old became another type"}},
			"a file in what goes":   {func(dir string) error { return os.WriteFile(dir+"/tree/in/mine", nil, 0o644) }, []string{"tree changed"}},
			"an edit in what goes":  {func(dir string) error { return os.WriteFile(dir+"/tree/in/x", []byte("mine\n"), 0o644) }, []string{"tree changed"}},
			"a folder that is made": {func(dir string) error { return os.WriteFile(dir+"/made", nil, 0o644) }, []string{"made appeared"}},
			"its folder is a link": {func(dir string) error {
				return errors.Join(os.Rename(dir+"/sub", dir+"/sub2"), os.Symlink("sub2", dir+"/sub"))
			}, []string{"sub/deep became another type", "sub/z became another type"}},
			"its folder is gone": {func(dir string) error { return os.RemoveAll(dir + "/sub") }, []string{"sub/z deleted"}},
			"two of them": {func(dir string) error {
				return errors.Join(os.Remove(dir+"/other"), os.WriteFile(dir+"/old", []byte("mine\n"), 0o644))
			}, []string{"old changed", "other deleted"}},
		} {
			dir := folder(t)
			err := errors.Join(os.WriteFile(dir+"/other", []byte("other\n"), 0o644), os.MkdirAll(dir+"/tree/in", 0o755), os.WriteFile(dir+"/tree/in/x", []byte("x\n"), 0o644))
			if os.Geteuid() == 0 {
				for _, p := range []string{"/other", "/tree", "/tree/in", "/tree/in/x"} {
					err = errors.Join(err, os.Chown(dir+p, 4321, 4321))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			w := beside(t, dir, script)
			if err := c.happens(dir); err != nil {
				t.Fatal(err)
			}
			before := everyFile(t, dir)
			at, err := w.layers().Keep("t", w.Changes, false)
			if err != nil || !slices.Equal(what(at), c.want) {
				t.Errorf("%s: %q %v, want %q", name, what(at), err, c.want)
				continue
			}
			if len(c.want) == 0 {
				if b, err := os.ReadFile(dir + "/old"); err != nil || string(b) != "old\nmore\n" {
					t.Errorf("%s: %q %v", name, b, err)
				}
				continue
			}
			if after := everyFile(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s: it was refused, and yet done: %v", name, after)
			}
			at, err = w.layers().Keep("t", w.Changes, true)
			if name == "its folder is a link" { // not even by force
				if err == nil {
					t.Errorf("%s: %v", name, at)
				}
				continue
			}
			if b, rerr := os.ReadFile(dir + "/old"); err != nil || rerr != nil || string(b) != "old\nmore\n" {
				t.Errorf("%s, by force: %q %v %v", name, b, err, rerr)
			}
			for p := range everyFile(t, dir) {
				if strings.Contains(p, ".zavhoz-") || strings.HasPrefix(p, "tree") || p == "sub/deep" {
					t.Errorf("%s, by force: %s is left", name, p)
				}
			}
		}
	})
}

// What a person did while the run was under way is as theirs as what they did after it.
func TestKeepKnowsOfAnEditDuringTheRun(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		w := beside(t, dir, `echo more >>old`)
		if err := os.WriteFile(dir+"/sub/deep", []byte("mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.Refs[0].Since -= int64(time.Hour) // the run began before that
		var err error
		if w.Changes, err = w.layers().List(nil); err != nil {
			t.Fatal(err)
		}
		if at, err := w.layers().Conflicts(w.Changes); err != nil || !slices.Equal(what(at), []string{"old changed"}) {
			t.Errorf("%q %v", what(at), err)
		}
	})
}

// What lies on the shelf is kept only as it was listed.
func TestKeepTakesOnlyWhatWasListed(t *testing.T) {
	both(t, func(t *testing.T) {
		for name, forge := range map[string]func(upper string) error{
			"other bytes":      func(u string) error { return os.WriteFile(u+"/new", []byte("NEW\n"), 0o644) },
			"a link to others": func(u string) error { return errors.Join(os.Remove(u+"/new"), os.Symlink("/etc/passwd", u+"/new")) },
			"a pipe":           func(u string) error { return errors.Join(os.Remove(u+"/new"), syscall.Mkfifo(u+"/new", 0o644)) },
			"gone":             func(u string) error { return os.Remove(u + "/new") },
			"another target":   func(u string) error { return errors.Join(os.Remove(u+"/way"), os.Symlink("/etc", u+"/way")) },
		} {
			dir := folder(t)
			w := beside(t, dir, `echo a >a; echo new >new; ln -s old way`)
			if err := forge(filepath.Join(w.Dir, w.Refs[0].Name, "upper")); err != nil {
				t.Fatal(err)
			}
			at, err := w.layers().Keep("t", w.Changes, true)
			if fault.CodeOf(err) != fault.RecordTampered {
				t.Errorf("%s: %v %v", name, at, err)
			}
			if _, err := os.Lstat(dir + "/a"); err == nil {
				t.Errorf("%s: half of it was kept", name)
			}
		}
		dir := folder(t)
		w := beside(t, dir, `echo a >a`)
		for _, p := range []string{"../a", "/etc/a", ".", "..", "sub/../../a"} {
			c := w.Changes[0]
			c.Path = p
			if _, err := w.layers().Keep("t", []sandbox.Change{c}, true); fault.CodeOf(err) != fault.RecordTampered {
				t.Errorf("%q: %v", p, err)
			}
		}
	})
}

// What a change is said to be.
func TestChangesTellOfLinksAndRights(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		w := beside(t, dir, `ln -s /etc/passwd abs; ln -s ../../etc up; ln -s sub/deep fine; ln -s sub/../../x round; ln -s "$PWD/old" own; chmod 755 old; chmod 700 sub; touch -d 2001-01-01 sub/deep`)
		got := map[string]sandbox.Change{}
		for _, c := range w.Changes {
			got[c.Path] = c
		}
		for p, outside := range map[string]bool{"abs": true, "up": true, "fine": false, "round": true, "own": false} {
			if c := got[p]; c.Outside != outside || c.Target == "" {
				t.Errorf("%s: %+v", p, c)
			}
		}
		if c := got["old"]; c.Kind != sandbox.Modified || c.Was.Perm() != 0o644 || c.Mode.Perm() != 0o755 {
			t.Errorf("%+v", c)
		}
		if c := got["sub"]; c.Kind != sandbox.Modified || !c.Dir || c.Was.Perm() != 0o755 || c.Mode.Perm() != 0o700 {
			t.Errorf("%+v", c)
		}
		if c, there := got["sub/deep"]; there {
			t.Errorf("only a time differs: %+v", c)
		}
		if at, err := w.layers().Keep("t", w.Changes, false); err != nil || len(at) != 0 {
			t.Fatal(at, err)
		}
		if st, err := os.Stat(dir + "/sub"); err != nil || st.Mode().Perm() != 0o700 {
			t.Error(st, err)
		}
	})
}

// A second run goes on from the layer of the first; what lay below is what the first one saw.
func TestALayerIsGoneOnFrom(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		w := beside(t, dir, `echo one >made; echo more >>old; rm sub/deep`)
		if err := os.WriteFile(dir+"/old", []byte("mine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.run(t, dir, `test "$(cat made)" = one && echo two >>made && test ! -e sub/deep && echo again >sub/deep && echo late >late`)
		var got []string
		for _, c := range w.Changes {
			got = append(got, string(c.Kind)+" "+c.Path)
		}
		if want := []string{"added late", "added made", "modified old", "modified sub/deep"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		if at, err := w.layers().Keep("t", w.Changes, false); err != nil || !slices.Equal(what(at), []string{"old changed"}) {
			t.Errorf("%q %v", what(at), err)
		}
		if _, err := w.layers().Keep("t", w.Changes, true); err != nil {
			t.Fatal(err)
		}
		if all := everyFile(t, dir); all["made"] != "one\ntwo\n" || all["old"] != "old\nmore\n" || all["sub/deep"] != "again\n" || owner(t, dir+"/made") != owner(t, dir) {
			t.Errorf("%v", all)
		}
	})
}
