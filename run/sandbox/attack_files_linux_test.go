package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func init() {
	children["child:write"] = func(paths []string) {
		for _, p := range paths {
			say(p, os.WriteFile(p, []byte("planted"), 0o755))
		}
	}
	children["child:ids"] = func([]string) {
		fmt.Println(os.Getuid() == os.Geteuid(), os.Geteuid() == 0)
	}
	children["child:chmod"] = func(args []string) {
		p := args[0]
		say("create", os.WriteFile(p, nil, 0o755))
		say("chmod", unix.Chmod(p, 0o4755))
		say("fchmodat", unix.Fchmodat(unix.AT_FDCWD, p, 0o2755, 0))
		fd, err := unix.Open(p+"2", unix.O_CREAT|unix.O_WRONLY, 0o4755)
		say("open", err)
		_ = unix.Close(fd)
		how := unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755}
		_, err = unix.Openat2(unix.AT_FDCWD, p+"3", &how)
		say("openat2", err)
	}
}

func TestAttack06_NothingIsLeftForTheNextRun(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		places := []string{b.Home() + "/x", b.Temp() + "/x", "/tmp/zavhoz-left", "/dev/shm/zavhoz-left", "/var/tmp/zavhoz-left", "/run/zavhoz-left"}
		script := "for p in " + strings.Join(places, " ") + "; do (echo left >$p) 2>/dev/null; done; cat " + b.Home() + "/x"
		if out, _ := shell(t, b, script, nil); out != "left\n" {
			t.Errorf("its own home: %q", out)
		}
		for _, p := range places[2:] {
			if _, err := os.Lstat(p); err == nil {
				t.Errorf("%s is left on the machine", p)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(b.Home() + "/x"); err == nil {
			t.Error("the home is left")
		}
		s := newSandbox(t, sandbox.Options{})
		next := newBox(t, s, b.Level())
		out, _ := shell(t, next, "cat "+strings.Join(places, " ")+" "+next.Home()+"/x "+next.Temp()+"/x 2>/dev/null", nil)
		if out != "" {
			t.Errorf("the next run reads %q", out)
		}
	})
}

func TestAttack07_NothingIsDroppedThatRunsOutside(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir, operator := folder(t), t.TempDir()
		passable(t, filepath.Dir(dir))
		if err := errors.Join(os.MkdirAll(dir+"/.git/hooks", 0o755), os.Chmod(dir, 0o755), os.Chmod(operator, 0o777)); err != nil {
			t.Fatal(err)
		}
		places := []string{dir + "/.git/hooks/post-commit", dir + "/Makefile", operator + "/.bashrc", "/etc/cron.d/x", "/var/spool/cron/x", "/usr/local/bin/x", "/etc/profile.d/x.sh", "/srv/.bashrc"}
		out := child(t, b, in(dir, sandbox.ReadOnly), append([]string{"child:write"}, places...)...)
		want := map[string]string{}
		for _, p := range places {
			want[p] = ": "
		}
		expect(t, out, want)
		for _, p := range places {
			if got, err := os.ReadFile(p); err == nil && string(got) == "planted" {
				t.Errorf("%s was planted", p)
			}
		}
	})
}

// A folder of the operator's that may be written is mounted without set-user-id inside; outside it is not. So no such bit may be set.
func TestAttack32_NoSetUserIDFileIsMade(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir := folder(t)
		if !basicTakes(b) {
			dir = b.Home()
		}
		edit := in(dir, sandbox.ReadWrite)
		if dir == b.Home() {
			edit = nil
		}
		out := child(t, b, edit, "child:chmod", dir+"/made")
		expect(t, out, map[string]string{"create": "ok", "chmod": "not permitted", "fchmodat": "not permitted", "open": "not permitted", "openat2": unix.ENOSYS.Error()})
		list, err := os.ReadDir(dir)
		for _, e := range list {
			if st, err := e.Info(); err != nil || st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
				t.Errorf("%s %v %v", e.Name(), st.Mode(), err)
			}
		}
		if err != nil && !b.Named() {
			t.Error(err)
		}
	})
}

func TestAttack32_SetUserIDProgramsGainNothing(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir := filepath.Join(filepath.Dir(program), "setuid")
		if st, err := os.Stat(dir + "/ids"); err == nil && st.Mode()&os.ModeSetuid != 0 { // where root made one
			out, _ := shell(t, b, dir+"/ids child:ids", in(dir, sandbox.ReadOnly))
			if out != "true false\n" {
				t.Errorf("a set-user-id program: %q", out)
			}
		}
		out, _ := shell(t, b, "grep -E '^(NoNewPrivs|Cap(Inh|Prm|Eff|Bnd|Amb)|Seccomp):' /proc/self/status | tr -d '\\t'; sudo -n id 2>&1; su -c id </dev/null 2>&1", nil)
		if !strings.Contains(out, "NoNewPrivs:1\nSeccomp:2\n") || strings.Contains(out, "uid=0") {
			t.Errorf("got %q", out)
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			if !strings.Contains(out, set+":0000000000000000\n") {
				t.Errorf("%s is not empty: %q", set, out)
			}
		}
	})
}
