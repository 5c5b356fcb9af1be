package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/home"
)

const workdirsConf = "zavhoz.service.d/workdirs.conf"

// shippedText reads a file of deploy/.
func shippedText(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(shipped(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wordsOf gives the words of a line that begins so, in a file of sysusers or tmpfiles.
func wordsOf(t *testing.T, text string, begin ...string) []string {
	t.Helper()
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= len(begin) && slices.Equal(f[:len(begin)], begin) {
			return f
		}
	}
	t.Fatalf("no line begins with %q", begin)
	return nil
}

// TestWhatIsShippedAgrees reads the files of deploy/ as one: users, folders, paths, flags.
func TestWhatIsShippedAgrees(t *testing.T) {
	u := unitOf(t, "zavhoz.service")
	get := func(key string) string { return u.last("Service", key) }
	argv := strings.Fields(get("ExecStart"))
	root := newRoot(&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	c, rest, err := root.Find(argv[1:])
	if err != nil || c.Name() != "serve" || c.ParseFlags(rest) != nil {
		t.Errorf("ExecStart: %q: %v", argv, err)
	}
	if system, _ := c.Flags().GetBool("system"); !system {
		t.Errorf("ExecStart: %q", argv)
	}
	// the profile names the program where it is started
	if want := "/usr/{,local/}bin/zavhoz"; argv[0] != "/usr/local/bin/zavhoz" || !strings.Contains(shippedText(t, "apparmor", "zavhoz"), "profile zavhoz "+want+" ") {
		t.Errorf("%s is not the program of the AppArmor profile", argv[0])
	}
	cfg, err := home.ParseConfig([]byte(shippedText(t, "config.yaml")))
	if err != nil || !cfg.System || filepath.Dir(cfg.Agents.Path) != filepath.Join("/run", get("RuntimeDirectory")) || cfg.Agents.Group != get("SupplementaryGroups") {
		t.Errorf("%+v %v", cfg, err)
	}
	state := filepath.Join("/var/lib", get("StateDirectory"))
	users, folders := shippedText(t, "sysusers.d", "zavhoz.conf"), shippedText(t, "tmpfiles.d", "zavhoz.conf")
	if f := wordsOf(t, users, "u", get("User")); f[len(f)-1] != state {
		t.Errorf("the user's home is %s, the unit's folder %s", f[len(f)-1], state)
	}
	wordsOf(t, users, "g", cfg.Agents.Group, "-")
	wordsOf(t, users, "m", get("User"), cfg.Agents.Group) // else it may not give the socket to the group
	if f := wordsOf(t, folders, "d", state); !slices.Equal(f[2:5], []string{"0" + strings.TrimPrefix(get("StateDirectoryMode"), "0"), get("User"), get("Group")}) {
		t.Errorf("%q", f)
	}
}

// TestTheUnitGivesNoMore: the tests of a service run with these rights; what would take something away from runs is not there.
func TestTheUnitGivesNoMore(t *testing.T) {
	main, more := unitOf(t, "zavhoz.service")["Service"], unitOf(t, workdirsConf)["Service"]
	for _, s := range []map[string][]string{main, more} {
		if len(s["AmbientCapabilities"]) != 1 || !slices.Equal(s["AmbientCapabilities"], s["CapabilityBoundingSet"]) {
			t.Errorf("%q and %q differ", s["AmbientCapabilities"], s["CapabilityBoundingSet"])
		}
	}
	if got := main["AmbientCapabilities"][0]; got != "CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETUID" {
		t.Errorf("the unit gives %s", got)
	}
	for _, key := range []string{"NoNewPrivileges", "PrivateTmp", "PrivateDevices", "Delegate"} {
		if got := main[key]; !slices.Equal(got, []string{"yes"}) {
			t.Errorf("%s=%q", key, got)
		}
	}
	for _, key := range []string{"RestrictNamespaces", "PrivateUsers", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectControlGroups",
		"ProtectHostname", "RestrictSUIDSGID", "MemoryDenyWriteExecute", "SystemCallFilter", "ProtectKernelModules"} {
		if main[key] != nil || more[key] != nil {
			t.Errorf("%s takes from runs what they are built of", key)
		}
	}
}

// With the drop-in a run works in a folder of another user's, which is closed to everybody else, and what it makes there is that user's.
func TestAServiceWithWorkingDirectories(t *testing.T) {
	s := emptyService(t, serviceUID)
	s.dropIns = []string{workdirsConf}
	s.begin()
	closed := filepath.Join(s.root, "alice")
	project, layered := filepath.Join(closed, "project"), filepath.Join(closed, "layered")
	for _, p := range []string{closed, project, layered} {
		if err := os.Mkdir(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p, agentUID, agentUID); err != nil {
			t.Fatal(err)
		}
	}
	s.operator("", "workdir", "add", project, "--mode", "rw")
	s.operator("", "workdir", "add", layered, "--mode", "overlay")
	if err := os.Chmod(closed, 0o700); err != nil { // the operator who named it had to see it, with no right but a user's
		t.Fatal(err)
	}
	d := s.door(agentUID, s.token)
	d.greet()
	for dir, kept := range map[string]bool{project: true, layered: false} {
		var run struct {
			ExitCode  *int `json:"exit_code"`
			Isolation string
			Stderr    string
		}
		d.tool("run_with_resource", map[string]any{"resources": []string{"openai"}, "command": []string{"touch", "made"}, "cwd": dir}, &run)
		if run.ExitCode == nil || *run.ExitCode != 0 || run.Isolation != "vaulted" {
			t.Fatalf("%s: %+v", dir, run)
		}
		out, err := s.as(agentUID, "/usr/bin/stat", "-c", "%u", filepath.Join(dir, "made")).Output()
		if kept && string(out) != "65534\n" || !kept && err == nil {
			t.Errorf("%s: %q %v", dir, out, err)
		}
	}
}
