package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/web/api"
)

// What an agent's shell does to another process, or to a socket; see probe.
func init() {
	pid := func(next func() string) int { n, _ := strconv.Atoi(next()); return n }
	probes["trace"] = func(next func() string) string { return fmt.Sprint(unix.PtraceSeize(pid(next))) }
	probes["memory"] = func(next func() string) string {
		var b [8]byte
		at := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&b)), Len: 8}}
		_, err := unix.ProcessVMReadv(pid(next), []unix.Iovec{{Base: &b[0], Len: 8}}, at, 0)
		return fmt.Sprint(err)
	}
	probes["descriptor"] = func(next func() string) string {
		fd, err := unix.PidfdOpen(pid(next), 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 0, 0)
		}
		return fmt.Sprint(err)
	}
	probes["signal"] = func(next func() string) string { return fmt.Sprint(unix.Kill(pid(next), 0)) }
	probes["read"] = func(next func() string) string {
		f, err := os.Open(next())
		if err == nil {
			if _, err = f.Read(make([]byte, 1)); err != nil {
				_, err = f.ReadDir(1)
			}
		}
		return cause(err)
	}
	probes["follow"] = func(next func() string) string { _, err := os.Readlink(next()); return cause(err) }
	probes["connect"] = func(next func() string) string { _, err := net.Dial("unix", next()); return cause(err) }
	probes["remove"] = func(next func() string) string { return cause(os.Remove(next())) }
	probes["move"] = func(next func() string) string { p := next(); return cause(os.Rename(p, p+"2")) }
	probes["make"] = func(next func() string) string { return cause(os.WriteFile(next(), nil, 0o600)) }
}

// cause is the system's own word.
func cause(err error) string {
	var e unix.Errno
	if errors.As(err, &e) {
		return e.Error()
	}
	return fmt.Sprint(err)
}

// shell has the agent's own shell, of the agent's user and outside of every run, try things: name and argument. Each must be refused.
func (s *service) shell(tries [][2]string) {
	s.t.Helper()
	var args []string
	for _, try := range tries {
		args = append(args, try[0], try[1])
	}
	c := s.as(agentUID, s.program("probe"), args...)
	c.SysProcAttr.Credential.Groups = []uint32{agentsGroup}
	out, err := c.Output()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(lines) != len(tries) {
		s.t.Fatalf("%v: %s", err, out)
	}
	for i, line := range lines {
		if line != unix.EPERM.Error() && line != unix.EACCES.Error() {
			s.t.Errorf("%s %s: %s", tries[i][0], tries[i][1], line)
		}
	}
}

func TestASystemServiceIsVaulted(t *testing.T) {
	asServices(t, func(t *testing.T, s *service) {
		var st api.Status
		decode(t, s.operator("", "status", "--json"), &st)
		if st.Isolation != "vaulted" || st.PID != s.pid {
			t.Errorf("%+v", st)
		}
		for _, f := range st.Features {
			if (f.Name == "run_users" || f.Name == "system_user" || f.Name == "namespaces") && !f.OK {
				t.Errorf("%+v", f)
			}
		}
		if out := s.operator("", "doctor"); !strings.Contains(out, "Isolation: vaulted\n") {
			t.Error(out)
		}
		d := s.door(agentUID, s.token)
		d.greet()
		d.serves()
		var got struct{ Isolation json.RawMessage }
		d.tool("get_status", map[string]any{}, &got)
		if !bytes.Contains(got.Isolation, []byte("vaulted")) {
			t.Errorf("get_status: %s", got.Isolation)
		}
		pids := s.working()
		for what, pid := range pids {
			uids := statusOf(t, pid, "Uid")
			if slices.Contains(uids, agentUID) || (what == "command" || what == "box") && (slices.Contains(uids, s.uid) || uids[0] < 1<<20) {
				t.Errorf("the %s has the users %v", what, uids)
			}
		}
	})
}

// Whoever comes to the agents' socket is somebody else than the daemon, and shows a token.
func TestAServiceTakesOtherUsersByTokenAlone(t *testing.T) {
	asServices(t, func(t *testing.T, s *service) {
		for name, c := range map[string]struct {
			uid         int
			token, want string
		}{
			"without a token":       {agentUID, "", `"unauthenticated"`},
			"with a made-up one":    {agentUID, "zvh_agt_AAAA", `"unauthenticated"`},
			"the daemon's own user": {s.uid, s.token, `"not_permitted"`},
			"root":                  {0, s.token, `"not_permitted"`},
			"outside of the group":  {strangerUID, s.token, `"daemon_unavailable"`},
		} {
			d := s.door(c.uid, c.token)
			m := d.receive(d.send("initialize", handshake()))
			if m.Error == nil || !strings.Contains(string(m.Error.Data), c.want) {
				t.Errorf("%s: %+v %s", name, m.Error, m.Result)
			}
		}
		if _, err := os.Lstat(s.dir.AgentSock()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a door for the daemon's own user: %v", err)
		}
	})
}

// What a client starts has the client's user, and cannot be the service.
func TestAServiceIsNeverStartedByAClient(t *testing.T) {
	s := emptyService(t, serviceUID)
	c := s.as(s.uid, s.program("zavhoz"), "status")
	c.Env = append(c.Env, "ZAVHOZ_HOME="+s.dir.Path())
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "systemctl start zavhoz") {
		t.Errorf("%v: %s", err, out)
	}
}

// A socket in a folder that others can change would be theirs tomorrow, with the agents' tokens coming to it.
func TestAnAgentsSocketThatOthersCouldReplace(t *testing.T) {
	root := shortDir(t)
	run := filepath.Join(root, "run")
	if err := errors.Join(os.Mkdir(run, 0o755), os.Chmod(root, 0o755)); err != nil {
		t.Fatal(err)
	}
	me := os.Geteuid()
	if err := trustedFolder(run, me); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		mode os.FileMode
	}{
		"everybody writes":        {run, 0o777},
		"a group writes":          {run, 0o775},
		"everybody's, and sticky": {run, 0o777 | os.ModeSticky},
		"a parent of everybody's": {root, 0o777},
	} {
		if err := os.Chmod(c.dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := trustedFolder(run, me); err == nil || !strings.Contains(err.Error(), "stand in the place") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(c.dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(run, strangerUID, strangerUID); err != nil {
		t.Fatal(err)
	}
	if err := trustedFolder(run, me); err == nil {
		t.Error("a stranger's folder is trusted")
	}
	if err := trustedFolder(run, strangerUID); err != nil { // to a client whose service has that user
		t.Error(err)
	}
	// the client refuses it, too, and gives its token to nobody
	if err := errors.Join(os.Chown(run, 0, 0), os.Chmod(run, 0o777)); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(run, "agent.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := dialService(t.Context(), sock); err == nil {
		c.Close()
		t.Error("a client trusts a socket that anybody can replace")
	}
}

func TestAttack20_TheAgentsOwnShellReadsARunVaulted(t *testing.T) {
	asServices(t, func(t *testing.T, s *service) {
		var tries [][2]string
		for _, pid := range s.working() {
			for _, what := range []string{"environ", "mem", "maps", "auxv", "stack", "io", "syscall", "fd", "map_files"} {
				tries = append(tries, [2]string{"read", fmt.Sprintf("/proc/%d/%s", pid, what)})
			}
			for _, what := range []string{"cwd", "exe", "root", "ns/user", "ns/net", "fd/0", "fd/3"} {
				tries = append(tries, [2]string{"follow", fmt.Sprintf("/proc/%d/%s", pid, what)})
			}
		}
		s.shell(tries)
	})
}

func TestAttack21_TheAgentsOwnShellDebugsTheDaemonVaulted(t *testing.T) {
	asServices(t, func(t *testing.T, s *service) {
		var tries [][2]string
		for _, pid := range s.working() {
			for _, how := range []string{"trace", "memory", "descriptor", "signal"} {
				tries = append(tries, [2]string{how, strconv.Itoa(pid)})
			}
		}
		s.shell(tries)
	})
}

func TestAttack22_TheAgentsOwnShellOpensTheVaultVaulted(t *testing.T) {
	asServices(t, func(t *testing.T, s *service) {
		s.working()
		h := s.dir
		s.shell([][2]string{
			{"read", h.Path()}, {"read", h.Identity()}, {"read", h.Vault()}, {"read", h.Config()}, {"read", h.Lock()}, {"read", h.Run()},
			{"connect", h.OperatorSock()}, {"connect", h.AgentSock()}, {"make", filepath.Join(h.Path(), "x")}, {"move", h.Path()},
			// nor does it stand in the daemon's place, where other agents' tokens come to
			{"remove", s.sock}, {"move", s.sock}, {"make", s.sock + "2"}, {"move", filepath.Dir(s.sock)}, {"make", filepath.Join(filepath.Dir(s.sock), ".new")},
		})
		// a program of its own, which knows how
		for _, args := range [][]string{{"serve"}, {"serve", "--system"}, {"status"}, {"resource", "list"}, {"run", "openai", "--open", "--", "env"}, {"stop"}} {
			c := s.as(agentUID, s.program("zavhoz"), args...)
			c.Env = append(c.Env, "ZAVHOZ_HOME="+h.Path())
			if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot be entered") && !strings.Contains(string(out), "cannot be read") {
				t.Errorf("zavhoz %v: %v %s", args, err, out)
			}
		}
		if st := s.operator("", "status", "--json"); !strings.Contains(st, fmt.Sprint(s.pid)) {
			t.Errorf("the daemon is another: %s", st)
		}
	})
}

// A daemon that is no service can have that socket, too: a token is needed there all the same, and no wall is claimed.
func TestAnAgentsSocketOfAnOrdinaryDaemon(t *testing.T) {
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	token := strings.TrimSpace(p.ok("agent", "add", "ci"))
	p.stop()
	root := filepath.Dir(p.dir.Path())
	sock := filepath.Join(root, "agents.sock")
	p.configure(`path: ""  `, "path: "+sock)
	p.configure(`group: ""`, fmt.Sprintf("group: %d", os.Getgid()))
	if p.status().Isolation == "vaulted" {
		t.Error("a daemon of the person's own user claims to be vaulted")
	}
	st, err := os.Lstat(sock)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Fatalf("%v %v", st, err)
	}
	for name, ok := range map[string]bool{token: true, "": false} {
		c := p.cmd("mcp", "--socket", sock)
		c.Env = append(c.Env, "ZAVHOZ_AGENT_TOKEN="+name)
		d := converse(t, c)
		m := d.receive(d.send("initialize", handshake()))
		if ok != (m.Error == nil) || !ok && !strings.Contains(string(m.Error.Data), `"unauthenticated"`) {
			t.Errorf("with a token %v: %+v", ok, m.Error)
		}
	}
	// moved by hand into a folder that others can change, it is not made
	p.stop()
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if r := p.run("", "serve"); r.code == 0 || !strings.Contains(r.stderr, "key_file_exposed") {
		t.Error(r)
	}
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
	p.status()
}
