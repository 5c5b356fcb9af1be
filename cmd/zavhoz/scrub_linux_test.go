package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// secretsOfTheShell are what a shell or a unit may hold when somebody starts a daemon from it.
var secretsOfTheShell = []string{"ZAVHOZ_AGENT_TOKEN=zvh_agt_planted7f3a", "DATABASE_URL=postgres://u:planted7f3a@h/d", "OPENAI_API_KEY=sk-planted7f3a", "SOPS_AGE_KEY=planted7f3a", "CREDENTIALS_DIRECTORY=/nonexistent/planted7f3a"}

const planted7f3a = "planted7f3a"

// TestAttack19_NothingOfTheEnvironmentStays starts a daemon in the foreground from a shell that holds secrets, with a passphrase on a descriptor, and reads in /proc what
// the kernel shows of it and of each sort of child that it starts: environment, command line, and, for the daemon's own user, whether there is anything to read at all.
func TestAttack19_NothingOfTheEnvironmentStays(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
	made, err := exec.Command("age-plugin-mirror", "-keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := p.cmd("serve", "--passphrase-from", "-")
	c.Stdin, c.Env = strings.NewReader(phrase+"\n"), append(p.env, secretsOfTheShell...)
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), `"serving"`) {
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-drained
		_ = c.Wait()
	})
	if s := p.status(); s.Locked || s.PID != c.Process.Pid {
		t.Fatalf("%+v", s)
	}
	clean(t, "the daemon", c.Process.Pid)

	// its children: a pinned command, and a plugin's; each tells its own environment, for it may be gone when somebody looks
	p.okIn("value-of-one\n", "resource", "add", "generic", "one", "--set", "env=ONE", "--secret", "value=-")
	seen := filepath.Join(shortDir(t), "seen")
	tell := "tr '\\0' '\\n' < /proc/self/environ > " + seen + "; tr '\\0' ' ' < /proc/$PPID/cmdline >> " + seen
	p.ok("run", "one", "--open", "--", "sh", "-c", tell)
	notIn(t, "a person's own command", seen)
	p.ok("key", "add", strings.Fields(strings.SplitN(string(made), "\n", 2)[0])[3]) // the plugin refuses to work where ZAVHOZ_ or SECRET_ is in its environment
	for _, child := range childrenOf(c.Process.Pid) {
		clean(t, "a child", child)
	}
}

// clean fails where /proc shows anything planted of a process.
func clean(t *testing.T, what string, pid int) {
	t.Helper()
	for _, name := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			continue // closed to this user, or gone: as good
		}
		if bytes.Contains(b, []byte(planted7f3a)) || bytes.Contains(b, []byte(phrase)) {
			t.Errorf("%s: /proc/%d/%s holds %q", what, pid, name, b)
		}
	}
}

func notIn(t *testing.T, what, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(planted7f3a)) {
		t.Errorf("%s: %s", what, b)
	}
}

// childrenOf lists the processes that a process started and that live.
func childrenOf(pid int) (out []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// TestAttack19_TheDoorForgetsItsToken: the relay that an MCP client starts holds its agent's token in memory alone.
func TestAttack19_TheDoorForgetsItsToken(t *testing.T) {
	p := initialised(t)
	var made struct{ Token string }
	decode(t, p.ok("agent", "add", "ci", "--json"), &made)
	c := p.cmd("mcp")
	c.Env = append(p.env, "ZAVHOZ_AGENT_TOKEN="+made.Token)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	var reply struct{ ID int }
	if err := json.NewDecoder(out).Decode(&reply); err != nil || reply.ID != 1 {
		t.Fatalf("%+v %v", reply, err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.Process.Pid))
	if err != nil || made.Token == "" || bytes.Contains(b, []byte(made.Token)) {
		t.Errorf("%v: %q", err, b)
	}
	in.Close()
	_ = c.Wait()
}
