package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault"
)

const openaiKey = "sk-proj-correct-horse-battery-staple-0123456789"

// withOpenAI is a place with an API key, and a folder to work in.
func withOpenAI(t *testing.T) (p *place, project string) {
	t.Helper()
	p = initialised(t)
	p.okIn(openaiKey, "resource", "add", "api_key", "openai", "--set", "service=openai", "--secret", "key=-")
	project = filepath.Join(filepath.Dir(p.dir.Path()), "project")
	if err := os.Mkdir(project, 0o755); err != nil {
		t.Fatal(err)
	}
	return p, project
}

// session starts an agent session whose agent is a shell, in the project.
func (tm *terminal) session(project, flags string) {
	tm.t.Helper()
	tm.do("cd " + project)
	tm.types("zavhoz run openai --agent-session " + flags + " --env MARK='inside> ' -- sh -c 'PS1=$MARK exec sh -i'; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("inside> ")
}

// within types a line to the shell inside.
func (tm *terminal) within(line string) string {
	tm.t.Helper()
	tm.types(line)
	tm.expect("\n")
	return strings.ReplaceAll(tm.expect("inside> "), "\r", "")
}

func (tm *terminal) resize(rows, cols uint16) {
	tm.t.Helper()
	if err := unix.IoctlSetWinsize(int(tm.front.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		tm.t.Fatal(err)
	}
}

// settings are the terminal's own, as stty tells them.
func (tm *terminal) settings() string {
	tm.t.Helper()
	shown, _ := tm.do("stty -g")
	return shown
}

func TestAgentSessionOnATerminal(t *testing.T) {
	p, project := withOpenAI(t)
	tm := p.sit()
	tm.resize(31, 97)
	before := tm.settings()
	tm.session(project, "")
	if got := tm.within("stty size; tty; echo $TERM"); got != "31 97\n/dev/pts/0\ndumb\n" {
		t.Errorf("%q", got)
	}
	tm.resize(20, 60)
	until(t, "the terminal inside has the new size", func() bool { return tm.within("stty size") == "20 60\n" })
	// a key is seen when it is pressed, one that begins the secret too
	for _, key := range []string{"s", "k", "-"} {
		tm.press(key)
		tm.expect(key)
	}
	tm.press("\x03") // what is pressed is the session's
	tm.expect("inside> ")
	tm.types("sh -c \"echo as''leep; exec sleep 1000\"")
	tm.expect("asleep") // and in the foreground: earlier, the key would be the shell's
	tm.press("\x03")
	tm.expect("inside> ")
	if got := tm.within("env | grep -c OPENAI_API_KEY=sk-; cat " + p.dir.Path() + "/identity.txt || echo unseen"); !strings.HasPrefix(got, "1\n") || !strings.Contains(got, "unseen") {
		t.Errorf("%q", got)
	}
	if got := tm.within("curl -sS -m 5 https://example.org || echo no way out"); !strings.Contains(got, "no way out") {
		t.Errorf("%q", got)
	}
	tm.within("echo made > made")
	if b, err := os.ReadFile(filepath.Join(project, "made")); err != nil || string(b) != "made\n" {
		t.Errorf("%q, %v", b, err)
	}
	if n := p.status().Runs; n != 1 {
		t.Errorf("%d runs", n)
	}
	tm.types("printf '\\033[?1049h\\033[?25l'; exit 5") // a program that leaves the terminal in a mess
	tm.expect("\x1b[?25h")
	tm.expect("\x1b[?1049l")
	tm.expect("[exit 5]")
	tm.expect("> ")
	if after := tm.settings(); after != before {
		t.Errorf("the terminal is left as %q, was %q", after, before)
	}
	if n := p.ends(); n[vault.RunExited] != 1 {
		t.Errorf("%v", n)
	}
	tm.never(openaiKey)
}

// Whatever ends a session, the terminal is given back.
func TestAgentSessionGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	p, project := withOpenAI(t)
	tm := p.sit()
	before := tm.settings()
	for _, c := range []struct {
		name string
		end  func()
		exit string
		says string
	}{
		{"the daemon is stopped", func() { p.ok("stop") }, "[exit 125]", "daemon_unavailable"},
		{"the daemon is killed", func() { p.kill(p.status().PID) }, "[exit 125]", "daemon_restarted"},
		{"the time is over", func() {}, "[exit 124]", "timed_out"},
		{"the command line is told to end", func() { tm.hit(t, syscall.SIGHUP) }, "[exit 125]", "canceled"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			flags := ""
			if c.exit == "[exit 124]" {
				flags = "--timeout 2s"
			}
			tm.session(project, flags)
			tm.types("printf '\\033[?2004h'")
			tm.expect("\x1b[?2004h")
			c.end()
			tm.expect("\x1b[?2004l")
			tm.expect(c.says)
			tm.expect(c.exit)
			tm.expect("> ")
			if after := tm.settings(); after != before {
				t.Errorf("the terminal is left as %q, was %q", after, before)
			}
		})
	}
	until(t, "no run is under way", func() bool { return p.status().Runs == 0 })
}

// hit sends a signal to the zavhoz that has the terminal.
func (tm *terminal) hit(t *testing.T, s syscall.Signal) {
	t.Helper()
	group, err := unix.IoctlGetInt(int(tm.front.Fd()), unix.TIOCGPGRP)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-group, s); err != nil {
		t.Fatal(err)
	}
}

// A command line that was killed takes its run with it.
func TestAttendedRunEndsWithItsCommandLine(t *testing.T) {
	p, _ := withOpenAI(t)
	c := p.cmd("run", "openai", "--", "sh", "-c", "echo ready; exec sleep 1000")
	c.Dir = filepath.Dir(p.dir.Path())
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if n := p.status().Runs; n != 1 {
		t.Fatalf("%d runs while one is under way", n)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	until(t, "the run has ended", func() bool { return p.status().Runs == 0 })
	if n := p.ends(); n[vault.RunStopped] != 1 {
		t.Errorf("%v", n)
	}
}

// Signals that come from elsewhere are the command's; so is a closed pipe.
func TestAttendedRunPassesSignalsOn(t *testing.T) {
	p, _ := withOpenAI(t)
	for name, s := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT} {
		c := p.cmd("run", "openai", "--", "sh", "-c", `trap 'echo caught; exit 9' `+name+`; echo ready; while :; do sleep 0.05; done`)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		if n, err := out.Read(b); err != nil || string(b[:n]) != "ready\n" {
			t.Fatalf("%q, %v", b[:n], err)
		}
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		n, _ := out.Read(b)
		_ = c.Wait()
		if code := c.ProcessState.ExitCode(); code != 9 || string(b[:n]) != "caught\n" {
			t.Errorf("%s: exit %d, %q", name, code, b[:n])
		}
	}
	c := p.cmd("run", "openai", "--", "yes")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = c.Wait()
	if c.ProcessState.Success() {
		t.Error("a closed pipe ended nothing")
	}
	until(t, "no run is under way", func() bool { return p.status().Runs == 0 })
}

func TestAttendedRunAsksForPresence(t *testing.T) {
	t.Parallel()
	p, project := withOpenAI(t)
	p.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")
	if r := p.run("", "run", "openai", "--", "true"); r.code != 125 || !strings.Contains(r.stderr, "presence_required") {
		t.Fatal(r)
	}
	tm := p.sit()
	tm.do("cd " + project)
	tm.types("zavhoz run openai -- sh -c 'echo got ${#OPENAI_API_KEY}'; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("Operator passphrase: ")
	tm.types(phrase)
	tm.expect("got " + strconv.Itoa(len(openaiKey)))
	tm.expect("[exit 0]")
	tm.never(phrase)
}

// Changes beside a folder are asked about at the terminal; what was typed for the command is no answer.
func TestAttendedRunAsksAboutChanges(t *testing.T) {
	t.Parallel()
	p, project := withOpenAI(t)
	tm := p.sit()
	tm.do("cd " + project)
	for _, answer := range []string{"n", "y"} {
		tm.types("zavhoz run openai --overlay . -- sh -c 'echo x > " + answer + "; echo ready; sleep 1'; echo \"[exit $?]\"")
		tm.expect("\n")
		tm.expect("ready")
		tm.types("y")                                      // for the command, which does not read it
		for _, slip := range []string{"", "maybe", "yn"} { // Enter alone, and what is no answer, is asked again
			tm.expect("Make 1 change in the real folders? [y/n/later] ")
			tm.types(slip)
		}
		tm.expect("[y/n/later] ")
		if _, err := os.Stat(filepath.Join(project, answer)); err == nil {
			t.Error("made before it was asked about")
		}
		tm.types(answer)
		if answer == "n" {
			tm.expect("1 change thrown away")
		}
		tm.expect("[exit 0]")
		tm.expect("> ")
		if _, err := os.Stat(filepath.Join(project, answer)); (err == nil) != (answer == "y") {
			t.Errorf("answered %s: %v", answer, err)
		}
	}
}
