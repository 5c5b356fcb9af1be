package sandbox_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// folder makes a working directory that only its owner may enter: us, or as root somebody else.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "project")
	err = errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "old"), []byte("old\n"), 0o644), os.WriteFile(filepath.Join(dir, "sub/deep"), []byte("deep\n"), 0o600))
	if err == nil && os.Geteuid() == 0 {
		for _, p := range []string{dir, dir + "/sub", dir + "/old", dir + "/sub/deep"} {
			err = errors.Join(err, os.Chown(p, 4321, 4321))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func owner(t *testing.T, p string) uint32 {
	t.Helper()
	st, err := os.Lstat(p)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Uid
}

func in(dir string, mode sandbox.Mode) func(*sandbox.Spec) {
	return func(s *sandbox.Spec) { s.Workdirs, s.Dir = []sandbox.Workdir{{Path: dir, Mode: mode}}, dir }
}

// basicTakes tells whether the level can show the folder to whoever runs there: as root, without translated mounts, it cannot.
func basicTakes(b *sandbox.Box) bool { return b.Named() || os.Geteuid() != 0 }

func TestWorkdirsByMode(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir := folder(t)
		if !basicTakes(b) {
			if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadWrite}}}); fault.CodeOf(err) != fault.WorkdirRefused {
				t.Errorf("root at basic: %v", err)
			}
			return
		}
		out, _ := shell(t, b, "pwd; cat old sub/deep; touch new 2>/dev/null || echo refused; rm old 2>/dev/null || echo refused", in(dir, sandbox.ReadOnly))
		if want := dir + "\nold\ndeep\nrefused\nrefused\n"; out != want {
			t.Errorf("ro: %q, want %q", out, want)
		}
		out, _ = shell(t, b, "mkdir -p a/b && echo new >a/b/new && rm old && mv sub/deep a && chmod 755 a/b/new && ./a/b/new 2>&1; stat -c %u . a/b/new | sort -u | wc -l", in(dir, sandbox.ReadWrite))
		if !strings.HasSuffix(out, "\n1\n") {
			t.Errorf("rw: %q", out)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "a/b/new")); err != nil || string(got) != "new\n" || owner(t, filepath.Join(dir, "a/b/new")) != owner(t, dir) {
			t.Errorf("rw: %q %v, owner %d", got, err, owner(t, filepath.Join(dir, "a/b/new")))
		}
		if _, err := os.Lstat(filepath.Join(dir, "old")); !errors.Is(err, fs.ErrNotExist) {
			t.Error("rw: not removed")
		}
	})
}

func TestTheDirectoryToStartInIsTheRuns(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		for _, dir := range []string{"relative", "/nowhere", b.Home() + "/none"} {
			if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Dir: dir}); fault.CodeOf(err) != fault.InvalidArgument {
				t.Errorf("%s: %v", dir, err)
			}
		}
		if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Dir: "/etc"}); !b.Named() && fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("/etc: %v", err)
		}
	})
}

func TestWorkdirsInsideEachOther(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		b := newBox(t, newSandbox(t, sandbox.Options{}), policy.LevelSealed)
		out, _ := shell(t, b, "touch here; touch sub/here 2>/dev/null || echo refused", func(s *sandbox.Spec) {
			s.Workdirs = []sandbox.Workdir{{Path: dir + "/sub", Mode: sandbox.ReadOnly}, {Path: dir, Mode: sandbox.ReadWrite}}
			s.Dir = dir
		})
		if _, err := os.Lstat(dir + "/here"); err != nil || out != "refused\n" {
			t.Errorf("%q %v", out, err)
		}
	})
}

func TestWorkdirsRefused(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		home := filepath.Join(dir, "sub")
		s := newSandbox(t, sandbox.Options{Protected: []string{home}})
		link := filepath.Join(filepath.Dir(dir), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		for _, level := range []policy.Level{policy.LevelBasic, policy.LevelSealed} {
			b := newBox(t, s, level)
			for _, p := range []string{"", "relative", "/", "/etc", "/usr/share", "/proc", "/proc/self", "/dev/shm", "/sys", "/run", "/home", "/root", "/var", "/tmp", "/nowhere", dir + "/",
				dir + "/../project", dir + "/old", link, link + "/sub", dir, home, home + "/x", "/\x00"} {
				_, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Workdirs: []sandbox.Workdir{{Path: p, Mode: sandbox.ReadOnly}}})
				if fault.CodeOf(err) != fault.WorkdirRefused {
					t.Errorf("%s: %q: %v", level, p, err)
				}
			}
			for _, w := range [][]sandbox.Workdir{{{Path: link + "x"}}, {{Path: dir, Mode: "wr"}}} {
				if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Workdirs: w}); fault.CodeOf(err) != fault.WorkdirRefused {
					t.Errorf("%s: %v: %v", level, w, err)
				}
			}
		}
		b := newBox(t, s, policy.LevelBasic)
		other := folder(t)
		if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Workdirs: []sandbox.Workdir{{Path: other, Mode: sandbox.Overlay}}}); fault.CodeOf(err) != fault.WorkdirRefused {
			t.Errorf("an overlay at basic: %v", err)
		}
	})
}

const edits = `echo more >>old; echo new >new; chmod 4755 new; mkdir -p made/deep; echo x >made/deep/x; rm sub/deep; ln -s /etc/passwd link
rm -r sub; mkdir sub; echo fresh >sub/fresh; mkfifo pipe; chmod 0 new`

func TestOverlaysKeepChangesApart(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		b := newBox(t, newSandbox(t, sandbox.Options{}), policy.LevelSealed)
		if out, exit := shell(t, b, edits, in(dir, sandbox.Overlay)); exit.Code != 0 {
			// the filter refuses the set-user-id bit: the rest is done all the same
			t.Log(out)
		}
		if got, err := os.ReadFile(dir + "/old"); err != nil || string(got) != "old\n" {
			t.Errorf("the folder changed: %q %v", got, err)
		}
		changes, err := b.Changes()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			if c.Workdir != dir {
				t.Errorf("%+v", c)
			}
			got = append(got, string(c.Kind)+" "+c.Path)
		}
		want := []string{"added link", "added made", "added made/deep", "added made/deep/x", "added new", "modified old", "removed sub/deep", "added sub/fresh"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		// a second process of the box sees them
		if out, _ := shell(t, b, "cat sub/fresh; cat old", in(dir, sandbox.Overlay)); out != "fresh\nold\nmore\n" {
			t.Errorf("again: %q", out)
		}
		if err := b.Keep(); err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]string{"old": "old\nmore\n", "made/deep/x": "x\n", "sub/fresh": "fresh\n"} {
			if got, err := os.ReadFile(filepath.Join(dir, p)); err != nil || string(got) != want || owner(t, filepath.Join(dir, p)) != owner(t, dir) {
				t.Errorf("%s: %q %v", p, got, err)
			}
		}
		if target, err := os.Readlink(dir + "/link"); err != nil || target != "/etc/passwd" {
			t.Errorf("the link: %q %v", target, err)
		}
		for _, p := range []string{"sub/deep", "pipe"} {
			if _, err := os.Lstat(filepath.Join(dir, p)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", p, err)
			}
		}
		if st, err := os.Lstat(dir + "/new"); err != nil || st.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 || st.Mode().Perm() != 0 {
			t.Errorf("new: %v %v", st.Mode(), err)
		}
		if changes, err := b.Changes(); err != nil || len(changes) != 0 {
			t.Errorf("after Keep: %v %v", changes, err)
		}
	})
}

func TestOverlaysAreThrownAway(t *testing.T) {
	both(t, func(t *testing.T) {
		dir, temp := folder(t), t.TempDir()
		if os.Geteuid() == 0 {
			if err := os.Chmod(temp, 0o711); err != nil {
				t.Fatal(err)
			}
		}
		b := newBox(t, newSandbox(t, sandbox.Options{TempDir: temp}), policy.LevelSealed)
		shell(t, b, "mkdir -p locked/in; touch locked/in/x; chmod 0 locked/in locked; echo more >>old", in(dir, sandbox.Overlay))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		var left []string // but the folder that this process keeps for all its boxes
		err := filepath.WalkDir(temp, func(p string, d fs.DirEntry, err error) error {
			if own, _ := filepath.Match(filepath.Join(temp, "zavhoz-private-*"), p); p != temp && !own {
				left = append(left, p)
			}
			return err
		})
		if got, rerr := os.ReadFile(dir + "/old"); err != nil || rerr != nil || len(left) != 0 || string(got) != "old\n" {
			t.Errorf("left %v %v, %q %v", left, err, got, rerr)
		}
	})
}

// A link that another run put into the real folder meanwhile leads Keep nowhere.
func TestKeepFollowsNoLinkOut(t *testing.T) {
	both(t, func(t *testing.T) {
		dir, outside := folder(t), t.TempDir()
		b := newBox(t, newSandbox(t, sandbox.Options{}), policy.LevelSealed)
		shell(t, b, "echo theirs >sub/deep; echo theirs >sub/new", in(dir, sandbox.Overlay))
		if err := errors.Join(os.RemoveAll(dir+"/sub"), os.Symlink(outside, dir+"/sub")); err != nil {
			t.Fatal(err)
		}
		err := b.Keep()
		left, _ := os.ReadDir(outside)
		if len(left) != 0 {
			t.Errorf("wrote outside: %v (%v)", left, err)
		}
	})
}
