package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault/home"
)

// Users of the tests of a service, none of whom is anybody else here.
const (
	serviceUID  = 65533
	agentUID    = ordinary // with the socket's group
	strangerUID = 65532    // without
	agentsGroup = 65534
)

// service is a daemon as systemd starts it, with an agent of another user on the same machine. Needs root: only it can be three users.
type service struct {
	*place
	uid   int    // the daemon's
	root  string // everybody may enter; below it, data is the daemon's alone
	sock  string // for agents
	token string // of the agent bot
	pid   int
	log   *bytes.Buffer // what it logs, complete once it has ended

	dropIns []string // beside the unit
}

// asServices runs f with a service of a user of its own that has what the shipped unit gives, and with one that is root.
func asServices(t *testing.T, f func(t *testing.T, s *service)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test plays three users: run it as root")
	}
	t.Run("own user", func(t *testing.T) { f(t, newService(t, serviceUID)) })
	t.Run("root", func(t *testing.T) { f(t, newService(t, 0)) })
}

// emptyService is a place with a vault of the service's user, where nothing runs yet.
func emptyService(t *testing.T, uid int) *service {
	t.Helper()
	s := &service{uid: uid, root: shortDir(t)}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Chmod(s.root, 0o755))
	for name, mode := range map[string]os.FileMode{"data": 0o700, "run": 0o755, "tmp": 0o777 | os.ModeSticky} {
		p := filepath.Join(s.root, name)
		check(errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, mode), os.Chown(p, uid, uid)))
	}
	b, err := os.ReadFile(testZavhoz(t)) // where everybody may execute it
	check(err)
	check(os.WriteFile(s.program("zavhoz"), b, 0o755))
	check(os.Link(s.program("zavhoz"), s.program("probe")))
	dir, err := home.At(filepath.Join(s.root, "data", "h"))
	check(err)
	s.place = &place{t: t, dir: dir}
	s.sock = filepath.Join(s.root, "run", "agent.sock")
	s.operator("", "init")
	s.configure("system: false", "system: true")
	s.configure(`path: ""  `, "path: "+s.sock)
	s.configure(`group: ""`, fmt.Sprintf("group: %d", agentsGroup))
	check(os.Chown(dir.Config(), uid, uid))
	return s
}

// newService is a running one, with an API key and an agent that may use it.
func newService(t *testing.T, uid int) *service {
	t.Helper()
	s := emptyService(t, uid)
	s.begin()
	return s
}

// begin starts it, and adds the key and the agent.
func (s *service) begin() {
	s.t.Helper()
	s.start()
	s.operator(openaiKey, "resource", "add", "api_key", "openai", "--set", "service=openai", "--secret", "key=-")
	s.token = strings.TrimSpace(s.operator("", "agent", "add", "bot"))
}

func (s *service) program(name string) string { return filepath.Join(s.root, name) }

// as makes a command of a user's.
func (s *service) as(uid int, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Env = "/", []string{"PATH=" + s.root + ":/usr/bin:/bin", "HOME=/nonexistent", "GORACE=" + os.Getenv("GORACE")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return c
}

// operator runs zavhoz as the daemon's user, as `sudo -u zavhoz zavhoz …` does: without any capability.
func (s *service) operator(stdin string, args ...string) string {
	s.t.Helper()
	c := s.as(s.uid, s.program("zavhoz"), args...)
	c.Env = append(c.Env, "ZAVHOZ_HOME="+s.dir.Path())
	c.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("zavhoz %v: %v\n%s", args, err, &errs)
	}
	return string(out)
}

// start does what the unit says: its user, groups, capabilities and no new privileges.
func (s *service) start() {
	s.t.Helper()
	args := []string{"--no-new-privs"}
	if s.uid != 0 {
		caps := "-all"
		for _, file := range append([]string{"zavhoz.service"}, s.dropIns...) {
			for _, name := range strings.Fields(unitOf(s.t, file).last("Service", "AmbientCapabilities")) {
				caps += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
			}
		}
		id := strconv.Itoa(s.uid)
		args = append(args, "--reuid", id, "--regid", id, "--groups", strconv.Itoa(agentsGroup), "--inh-caps="+caps, "--ambient-caps="+caps, "--bounding-set="+caps)
	}
	c := exec.Command("setpriv", append(args, s.program("zavhoz"), "serve", "--system")...)
	c.Dir, c.Env = "/", append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + filepath.Join(s.root, "data"), "ZAVHOZ_HOME=" + s.dir.Path(), "TMPDIR=" + filepath.Join(s.root, "tmp"), "GORACE=" + os.Getenv("GORACE")}, s.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.pid, s.log = c.Process.Pid, &bytes.Buffer{}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _, _ = io.Copy(io.Discard, out) }()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				close(ready)
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-ended
		err := c.Wait()
		if err != nil || bytes.Contains(s.log.Bytes(), []byte("DATA RACE")) || bytes.Contains(s.log.Bytes(), []byte("panic:")) {
			s.t.Errorf("the service ended with %v:\n%s", err, s.log)
		}
	})
	select {
	case <-ready:
	case <-ended:
		s.t.Fatalf("the service did not start:\n%s", s.log)
	}
}

// door is `zavhoz mcp` as an agent of that user starts it.
func (s *service) door(uid int, token string) *stdioDoor {
	s.t.Helper()
	c := s.as(uid, s.program("zavhoz"), "mcp", "--socket", s.sock)
	if uid == agentUID {
		c.SysProcAttr.Credential.Groups = []uint32{agentsGroup}
	}
	c.Env = append(c.Env, "ZAVHOZ_AGENT_TOKEN="+token)
	return converse(s.t, c)
}

// working has the agent start a run that waits, and gives the pids of who holds what: the command, the box's first process, the launcher, the daemon.
func (s *service) working() map[string]int {
	s.t.Helper()
	d := s.door(agentUID, s.token)
	d.greet()
	mark := fmt.Sprintf("%d", 100_000+s.pid)
	var run struct {
		ID        string `json:"run_id"`
		Isolation string `json:"isolation"`
	}
	d.tool("run_with_resource", map[string]any{"resources": []string{"openai"}, "command": []string{"sleep", mark}, "background": true}, &run)
	s.t.Cleanup(func() { d.tool("stop_run", map[string]any{"run_id": run.ID}, nil) })
	pids := map[string]int{"daemon": s.pid}
	until(s.t, "the command runs", func() bool {
		var r struct{ State string }
		reply := d.ask("tools/call", map[string]any{"name": "get_run", "arguments": map[string]any{"run_id": run.ID}})
		var got toolResult
		decode(s.t, string(reply), &got)
		decode(s.t, string(got.Structured), &r)
		if r.State != "running" {
			s.t.Fatalf("the run: %s\n%s", reply, s.log)
		}
		pids["command"] = pidOf("sleep\x00" + mark + "\x00")
		return pids["command"] != 0
	})
	pids["box"] = parentOf(s.t, pids["command"])
	for at := parentOf(s.t, pids["box"]); at != s.pid; at = parentOf(s.t, at) {
		if at <= 1 {
			s.t.Fatal("the run does not descend from the daemon")
		}
		pids["launcher"] = at
	}
	if pids["launcher"] == 0 {
		s.t.Fatalf("%v", pids)
	}
	return pids
}

// pidOf finds a process by its whole command line; 0 where there is none.
func pidOf(cmdline string) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if b, err := os.ReadFile(dir + "/cmdline"); err == nil && string(b) == cmdline {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}

func parentOf(t testing.TB, pid int) int {
	t.Helper()
	return statusOf(t, pid, "PPid")[0]
}

// statusOf reads numbers of a line of /proc/PID/status.
func statusOf(t testing.TB, pid int, key string) (ns []int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			for _, f := range strings.Fields(rest) {
				n, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				ns = append(ns, n)
			}
		}
	}
	if len(ns) == 0 {
		t.Fatalf("no %s of %d", key, pid)
	}
	return ns
}

// unit is a file of systemd's: section and key to the values, in order.
type unit map[string]map[string][]string

func (u unit) last(section, key string) string {
	if v := u[section][key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// shipped gives the path of a file of deploy/.
func shipped(parts ...string) string {
	return filepath.Join(slices.Concat([]string{"..", "..", "deploy"}, parts)...)
}

// unitOf parses a unit that is shipped.
func unitOf(t testing.TB, name string) unit {
	t.Helper()
	b, err := os.ReadFile(shipped("systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			u[section] = map[string][]string{}
		case !ok || section == "" || strings.HasSuffix(line, "\\"):
			t.Fatalf("%s: %q is no line of a unit", name, line)
		default:
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}
