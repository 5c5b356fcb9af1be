package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault/unlock"
	"github.com/zavhoz/zavhoz/web/api"
)

// credentials lays out what systemd passes to a service: a folder that nobody may write to, and in it the identity, readable by its user alone.
func credentials(t *testing.T, identity []byte, uid int) string {
	t.Helper()
	dir := filepath.Join(shortDir(t), "zavhoz.service")
	file := filepath.Join(dir, unlock.Credential)
	for _, err := range []error{os.Mkdir(dir, 0o700), os.WriteFile(file, identity, 0o400), os.Chown(file, uid, uid), os.Chown(dir, uid, uid), os.Chmod(dir, 0o500), os.Chmod(filepath.Dir(dir), 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	return dir
}

// served starts a daemon in the foreground with more in its environment, until the test's end.
func (p *place) served(env ...string) (pid int) {
	p.t.Helper()
	c := p.cmd("serve")
	c.Env = append(p.env, env...)
	log, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	ready, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), `"serving"`) {
				close(ready)
			}
		}
	}()
	p.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-drained
		_ = c.Wait()
	})
	select {
	case <-ready:
	case <-drained:
		p.t.Fatal("the daemon did not start")
	}
	return c.Process.Pid
}

// TestTheKeyIsACredentialOfSystemd: with the shape that systemd gives, a daemon opens by it, and again after a lock; its folder is gone from the environment; a daemon that systemd did not
// start has no key, and says so; with the shipped order the identity file is the way where no credential was passed.
func TestTheKeyIsACredentialOfSystemd(t *testing.T) {
	p := initialised(t)
	identity, err := os.ReadFile(p.dir.Identity())
	if err != nil {
		t.Fatal(err)
	}
	p.configure("sources: [file]", "sources: [credential, file]")
	if s := p.status(); s.Locked { // no credential was passed
		t.Fatalf("%+v", s)
	}
	p.stop()
	if err := os.Remove(p.dir.Identity()); err != nil {
		t.Fatal(err)
	}
	dir := credentials(t, identity, os.Getuid())
	pid := p.served("CREDENTIALS_DIRECTORY=" + dir)
	if s := p.status(); s.Locked || s.PID != pid {
		t.Fatalf("%+v", s)
	}
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && bytes.Contains(env, []byte(dir)) {
		t.Errorf("the daemon's environment holds %q", env)
	}
	if r := p.run("", "doctor"); strings.Contains(r.stdout, "BAD  identity") || !strings.Contains(r.stdout, "in no file of the home") {
		t.Errorf("doctor: %v", r)
	}
	p.ok("lock")
	var out api.Lock
	decode(t, p.ok("unlock", "--json"), &out)
	if out.By != "credential" {
		t.Errorf("unlocked by %q", out.By)
	}
	p.ok("stop")
	if r := p.run("", "resource", "list"); r.code == 0 || !strings.Contains(r.stderr, "systemd passed no credentials") {
		t.Errorf("a daemon that systemd did not start: %v", r)
	}
}

// TestAServiceOpensByItsCredential: the same with the unit's own user and rights.
func TestAServiceOpensByItsCredential(t *testing.T) {
	s := emptyService(t, serviceUID)
	identity, err := os.ReadFile(s.dir.Identity())
	if err == nil {
		err = os.Remove(s.dir.Identity())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.configure("sources: [file]", "sources: [credential, file]")
	if err := os.Chown(s.dir.Config(), s.uid, s.uid); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "CREDENTIALS_DIRECTORY="+credentials(t, identity, s.uid))
	s.start()
	if shown := s.operator("", "key", "list"); !strings.Contains(shown, "*") {
		t.Errorf("%s", shown)
	}
}

// TestTheUnitPassesACredential reads the unit as systemd does, and has systemd's own verifier read it where that is installed.
func TestTheUnitPassesACredential(t *testing.T) {
	if got := unitOf(t, "zavhoz.service")["Service"]["LoadCredentialEncrypted"]; len(got) != 1 || got[0] != unlock.Credential { // without a path it may be missing
		t.Errorf("LoadCredentialEncrypted=%q", got)
	}
	if !strings.Contains(shippedText(t, "config.yaml"), "sources: [credential, file]") {
		t.Error("the shipped configuration does not look for it")
	}
	verifier, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // the machine has no systemd: its reading is for one that has
	}
	text := strings.ReplaceAll(shippedText(t, "systemd", "zavhoz.service"), "/usr/local/bin/zavhoz", "/bin/true")
	unit := filepath.Join(shortDir(t), "zavhoz.service")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(verifier, "verify", "--man=no", unit).CombinedOutput()
	for line := range strings.Lines(string(out)) { // it complains of the users that are not made here, and of what its version does not know
		if strings.Contains(line, "Credential") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
}
