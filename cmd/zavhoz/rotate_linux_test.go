package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
)

// A person at a terminal exchanges a server's key, and an agent's next command goes there by the new one; then a value that only a person can make is asked for.
func TestAPersonRotates(t *testing.T) {
	srv := sshtest.Start(t, sshtest.Options{})
	p := initialised(t)
	host, key := p.write("host", srv.Host), p.write("key", string(srv.Key))
	p.ok("resource", "add", "server", "vps", "--set", "user="+srv.User, "--set", "port="+strconv.Itoa(srv.Port), "--set", "host_key="+srv.HostKey, "--secret", "host=@"+host, "--secret", "ssh_key=@"+key)
	before, err := os.ReadFile(srv.AuthorizedKeys())
	if err != nil {
		t.Fatal(err)
	}
	tm := p.sit()
	tm.types("zavhoz resource rotate vps --authorized-keys " + srv.AuthorizedKeys())
	tm.expect("Rotated vps (ssh_key, version 2)")
	tm.expect("> ")
	after, err := os.ReadFile(srv.AuthorizedKeys())
	if err != nil || string(after) == string(before) || strings.Count(string(after), "ssh-ed25519") != 1 {
		t.Fatalf("the server lets in\n%s", after)
	}
	d := p.open()
	d.greet()
	var run struct {
		ExitCode *int `json:"exit_code"`
		Stdout   string
	}
	d.tool("run_with_resource", map[string]any{"resources": []string{"vps"}, "command": []string{"ssh", "vps", "echo", "by the new key"}}, &run)
	if run.ExitCode == nil || *run.ExitCode != 0 || run.Stdout != "by the new key\n" {
		t.Fatalf("%+v", run)
	}

	p.addGeneric("one", "the-first-canary-value")
	tm.types("zavhoz resource rotate one")
	tm.expect("First: make a new value")
	tm.expect("New value: ")
	tm.types("the-second-canary-value")
	tm.expect("one has its new credential (guided, version 2)")
	tm.expect("> ")
	tm.never("canary")
	tm.never(srv.Host)

	// nothing in the home holds a value or a private key
	p.stop()
	_ = filepath.WalkDir(p.dir.Path(), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Base(path) == "identity.txt" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for _, value := range []string{"the-first-canary", "the-second-canary", "BEGIN OPENSSH PRIVATE KEY"} {
			if strings.Contains(string(b), value) {
				t.Errorf("%s holds %q", filepath.Base(path), value)
			}
		}
		return nil
	})
}
