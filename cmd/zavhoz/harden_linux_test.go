package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ordinary is a uid that is not root's: the prober of TestDaemonIsClosed must have the daemon's own uid and no more.
const ordinary = 65534

// as makes a command run as an ordinary user where the test is root's.
func as(c *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	}
	return c
}

// TestDaemonIsClosed looks at a daemon from another process of the same, ordinary uid: an agent's shell.
func TestDaemonIsClosed(t *testing.T) {
	root := shortDir(t)
	if os.Getuid() == 0 {
		if err := os.Chown(root, ordinary, ordinary); err != nil {
			t.Fatal(err)
		}
	}
	// a copy that this user may enter, read and execute: tests run from folders of root's
	self := filepath.Join(root, "zavhoz")
	b, err := os.ReadFile(testZavhoz(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, b, 0o755); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(root, "h")
	zavhoz := func(args ...string) string {
		t.Helper()
		c := as(exec.Command(self, args...))
		c.Dir, c.Env = root, append(cleanEnv(), "ZAVHOZ_HOME="+home, "HOME="+root, "ZAVHOZ_AGENT_TOKEN=zvh_agt_planted", "PLANTED=correct-horse")
		var errs bytes.Buffer
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("zavhoz %v: %v\n%s%s", args, err, out, &errs)
		}
		return string(out)
	}
	zavhoz("init")
	var s struct{ PID int }
	decode(t, zavhoz("status", "--json"), &s)
	t.Cleanup(func() { zavhoz("stop") })

	for _, what := range []string{"mem", "environ", "maps", "auxv", "stack", "io", "syscall"} {
		name := fmt.Sprintf("/proc/%d/%s", s.PID, what)
		if out, err := as(exec.Command("head", "-c", "1", name)).CombinedOutput(); err == nil {
			t.Errorf("%s can be read: %q", name, out)
		}
	}
	for _, what := range []string{"fd", "map_files"} {
		name := fmt.Sprintf("/proc/%d/%s/", s.PID, what)
		if out, err := as(exec.Command("ls", name)).CombinedOutput(); err == nil {
			t.Errorf("%s can be listed: %s", name, out)
		}
	}
	for _, what := range []string{"cwd", "exe", "root"} {
		name := fmt.Sprintf("/proc/%d/%s", s.PID, what)
		if out, err := as(exec.Command("readlink", "-v", name)).CombinedOutput(); err == nil {
			t.Errorf("%s can be followed: %s", name, out)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.PID))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if f := strings.Fields(strings.TrimPrefix(line, "Max core file size")); strings.HasPrefix(line, "Max core file size") && (f[0] != "1" || f[1] != "1") {
			t.Errorf("core files: %s", line)
		}
	}
	if os.Getuid() == 0 { // an ordinary user cannot look, which is the point; root can, for what the daemon was started with
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(env, []byte("zvh_agt_")) || bytes.Contains(env, []byte("correct-horse")) || bytes.Contains(env, []byte("ZAVHOZ_AGENT_TOKEN")) {
			t.Errorf("the daemon inherited: %q", env)
		}
	}
}

// TestDaemonEnv holds for every user what TestDaemonIsClosed sees as root.
func TestDaemonEnv(t *testing.T) {
	t.Setenv("ZAVHOZ_AGENT_TOKEN", "zvh_agt_planted")
	t.Setenv("OPENAI_API_KEY", "correct-horse")
	t.Setenv("LD_PRELOAD_X", "x")
	p := newPlace(t)
	env := daemonEnv(p.dir)
	for _, kv := range env {
		if strings.Contains(kv, "planted") || strings.Contains(kv, "correct-horse") || strings.HasPrefix(kv, "LD_") {
			t.Errorf("a daemon would inherit %s", kv)
		}
	}
	if env[0] != "ZAVHOZ_HOME="+p.dir.Path() {
		t.Errorf("%q", env[0])
	}
}
