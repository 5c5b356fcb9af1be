package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func init() {
	children["child:grow"] = func([]string) {
		size := 1 << 28
		b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		say("memory", err)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		_, err = unix.Mmap(-1, 0, 1<<36, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON) // what collectors reserve
		say("reserve", err)
	}
	children["child:open"] = func([]string) {
		n := 0
		for ; n < 5000; n++ {
			if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
				say("open", err)
				return
			}
		}
		say("open", nil)
	}
}

func limit(l sandbox.Limits) func(*sandbox.Spec) {
	return func(s *sandbox.Spec) { s.Limits = l }
}

func TestLimitsHold(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out, exit := shell(t, b, "head -c 3145728 /dev/zero >big; stat -c %s big", limit(sandbox.Limits{FileMB: 2}))
		if !strings.Contains(out, "2097152\n") || exit.Code != 0 {
			t.Errorf("file size: %q %+v", out, exit)
		}
		out, _ = shell(t, b, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do sleep 100 & done; wait", limit(sandbox.Limits{Processes: 20}))
		if !strings.Contains(out, "annot fork") && !strings.Contains(out, "Resource temporarily unavailable") {
			t.Errorf("processes: %q", out)
		}
		if _, exit = shell(t, b, "while :; do :; done", limit(sandbox.Limits{CPUSeconds: 1})); exit.Code == 0 {
			t.Errorf("CPU time: %+v", exit)
		}
		out, _ = shell(t, b, "ulimit -n; ulimit -n 99999 2>/dev/null || echo fixed", limit(sandbox.Limits{OpenFiles: 77}))
		if out != "77\nfixed\n" {
			t.Errorf("open files: %q", out)
		}
		if out, exit := shell(t, b, "perl -e '$x = \"a\" x (1<<28); print length $x'", limit(sandbox.Limits{MemoryMB: 64})); exit.Code == 0 {
			t.Errorf("memory: %q %+v", out, exit)
		}
		out = child(t, b, nil, "child:open")
		expect(t, out, map[string]string{"open": "too many open files"})
		expect(t, child(t, b, nil, "child:grow"), map[string]string{"memory": "ok", "reserve": "ok"})
	})
}

// What people use reserves much address space, starts threads and reads /proc.
func TestUsualProgramsRun(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		for name, script := range map[string][2]string{
			"node":    {`node -e 'const os=require("os");require("fs").writeFileSync(os.tmpdir()+"/x","1");console.log(os.cpus().length>0, os.homedir()==process.env.HOME)'`, "true true\n"},
			"perl":    {`perl -MFile::Temp -MPOSIX -e 'my $f = File::Temp->new; print $f "x"; print "ok\n"'`, "ok\n"},
			"git":     {`git init -q r && cd r && git config user.email a@b.c && git config user.name a && touch f && git add f && git commit -qm one && git log --format=%s`, "one\n"},
			"python3": {`/usr/bin/python3 -c 'import tempfile, threading, subprocess; t=threading.Thread(target=lambda: print(subprocess.check_output(["echo","x"])));t.start();t.join();tempfile.mkdtemp()'`, "b'x\\n'\n"},
			"tar":     {`mkdir a && echo 1 >a/b && tar cf - a | tar xf - -C /$TMPDIR && cat $TMPDIR/a/b`, "1\n"},
			"tmp":     {`mktemp -d >/dev/null && sort -S 1M --temporary-directory=$TMPDIR /etc/passwd >/dev/null && echo ok`, "ok\n"},
			"id":      {`id -un; hostname`, ""},
		} {
			if _, err := exec.LookPath(name); err != nil && name != "tmp" || name == "python3" && errors.Is(statError("/usr/bin/python3"), os.ErrNotExist) {
				continue // a machine without it
			}
			out, exit := shell(t, b, script[0], nil)
			if script[1] != "" && out != script[1] || exit.Code != 0 && name != "id" {
				t.Errorf("%s: %q %+v", name, out, exit)
			}
			if name == "id" && b.Named() && out != "agent\nsandbox\n" {
				t.Errorf("%s: %q", name, out)
			}
			shell(t, b, "rm -rf r a", nil)
		}
	})
}

func statError(p string) error {
	_, err := os.Stat(p)
	if err != nil {
		err = fmt.Errorf("stat: %w", err)
	}
	return err
}
