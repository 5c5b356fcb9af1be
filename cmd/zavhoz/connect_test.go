//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What connect prints starts a door to the same daemon, from a shell that has none of this one's variables.
func TestConnectWorksWhenPasted(t *testing.T) {
	root := shortDir(t)
	t.Setenv("HOME", root)
	p := initialised(t)
	odd := filepath.Join(root, "it's a home")
	if err := os.Rename(p.dir.Path(), odd); err != nil {
		t.Fatal(err)
	}
	p.env = append(cleanEnv(), "ZAVHOZ_HOME="+odd)
	p.addGeneric("only_here", "correct-horse-battery")
	t.Cleanup(func() { p.ok("stop", "--home", odd) })

	line := func(args ...string) string {
		var c connection
		decode(t, p.ok(append(args, "--json")...), &c)
		_, door, ok := strings.Cut(c.Command, " -- ")
		if !ok {
			t.Fatalf("%v prints %q", args, c.Command)
		}
		return door
	}
	for _, client := range []string{"claude-code", "codex"} {
		if got := seenFrom(t, line("connect", client)); !strings.Contains(got, "only_here") {
			t.Errorf("%s: the door reaches another vault: %s", client, got)
		}
	}
	var c connection
	decode(t, p.ok("connect", "cursor", "--json"), &c)
	var entry struct {
		MCPServers struct {
			Zavhoz struct {
				Command string
				Args    []string
			}
		}
	}
	decode(t, c.Text, &entry)
	if z := entry.MCPServers.Zavhoz; len(z.Args) != 3 || z.Args[0] != "mcp" || z.Args[1] != "--home" || z.Args[2] != odd {
		t.Errorf("cursor gets %v", z)
	}

	// a service's socket in the place of a home, and no home for the one that is found without
	if got := line("connect", "codex", "--socket", "/run/zavhoz/agent.sock"); !strings.HasSuffix(got, " mcp --socket /run/zavhoz/agent.sock") {
		t.Errorf("--socket gives %q", got)
	}
	p.env = append(cleanEnv(), "ZAVHOZ_HOME=")
	if got := line("connect", "codex"); !strings.HasSuffix(got, " mcp") {
		t.Errorf("the usual home gives %q", got)
	}
	if r := p.run("", "connect", "codex", "--home", filepath.Join(root, "a\nb")); r.code != 2 || r.stdout != "" {
		t.Errorf("a line break in the home: %v", r)
	}
}

// seenFrom types the line into a shell with nothing of this one's environment, and gives what an agent sees there.
func seenFrom(t *testing.T, line string) string {
	t.Helper()
	c := exec.Command("/bin/sh", "-c", line)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	d := converse(t, c)
	d.greet()
	return string(d.ask("tools/call", map[string]any{"name": "list_resources", "arguments": map[string]any{}}))
}
