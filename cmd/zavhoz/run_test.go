//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// ends counts the runs whose end is on record, by state.
func (p *place) ends() map[vault.RunState]int {
	p.t.Helper()
	var page api.Page[audit.Record]
	decode(p.t, p.ok("audit", "list", "--action", "run.end", "--limit", "500", "--json"), &page)
	n := map[vault.RunState]int{}
	for _, r := range page.Items {
		n[vault.RunState(r.Detail["state"])]++
	}
	return n
}

// ways are the two ways that a run takes: the quick one, and the long one that every flag but --open leads to.
var ways = []struct {
	name string
	args []string
}{{"quick", nil}, {"long", []string{"--tty"}}}

func TestRunForwardsSignals(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	for _, way := range ways {
		for _, s := range []struct {
			send syscall.Signal
			name string
		}{{syscall.SIGTERM, "TERM"}, {syscall.SIGHUP, "HUP"}, {syscall.SIGINT, "INT"}} {
			t.Run(way.name+" "+s.name, func(t *testing.T) {
				// a command that ends in its own way: its exit code and its last words are what counts
				args := append([]string{"run", "job", "--open"}, way.args...)
				c := p.cmd(append(args, "--", "sh", "-c", `trap 'echo "caught $JOB"; exit 9' `+s.name+`; echo ready; while :; do read x || sleep 1 & wait; done`)...)
				c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal sends anything
				stdin, err := c.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer stdin.Close()
				out, err := c.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(out)
				if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
					t.Fatalf("%q, %v", line, err)
				}
				if err := c.Process.Signal(s.send); err != nil {
					t.Fatal(err)
				}
				rest, _ := io.ReadAll(r)
				_ = c.Wait()
				if c.ProcessState.ExitCode() != 9 || string(rest) != "caught [redacted:job.value]\n" {
					t.Fatalf("exit %d, output %q", c.ProcessState.ExitCode(), rest)
				}
			})
		}
	}
}

func TestRunIntoAClosedPipe(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			args := append([]string{"run", "job", "--open"}, way.args...)
			c := p.cmd(append(args, "--", "yes", "a line that never ends to come")...)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			out.Close()
			_ = c.Wait() // `zavhoz run … -- yes | head -1` comes to an end
			if code := c.ProcessState.ExitCode(); code != 141 && code != 143 {
				t.Fatalf("exit %d", code)
			}
		})
	}
	until(t, "both ends are on record", func() bool { return p.ends()[vault.RunExited] == 2 })
}

func TestRunKilledIsNotRunningForEver(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			args := append([]string{"run", "job", "--open"}, way.args...)
			c := p.cmd(append(args, "--", "sh", "-c", "echo $$; exec cat")...)
			stdin, err := c.StdinPipe()
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
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if n := p.status().Runs; n != 1 {
				t.Fatalf("%d runs while one is under way", n)
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			stdin.Close() // cat ends
			_ = c.Wait()
			until(t, "the run is no longer under way", func() bool { return p.status().Runs == 0 })
		})
	}
}

func TestRunAmidADaemonsDeath(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	pid := p.status().PID
	c := p.cmd("run", "job", "--open", "--", "sh", "-c", "echo ready; read x; echo $JOB; exit 4")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	p.kill(pid)
	_, _ = io.WriteString(stdin, "go\n")
	rest, _ := io.ReadAll(r)
	_ = c.Wait()
	if c.ProcessState.ExitCode() != 4 || string(rest) != "[redacted:job.value]\n" || strings.Contains(errs.String(), "daemon") {
		t.Fatalf("exit %d, output %q, %s", c.ProcessState.ExitCode(), rest, &errs)
	}
	if n := p.ends(); n[vault.RunLost] != 1 || len(n) != 1 {
		t.Fatalf("the next daemon knows %v, want the one as lost", n)
	}
}

func TestRunDeliversLargeOutputAndBothStreams(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	r := p.run("", "run", "job", "--open", "--", "sh", "-c", `i=0; while [ $i -lt 3000 ]; do echo "$i $JOB"; echo "$JOB $i" >&2; i=$((i+1)); done`)
	if r.code != 0 || strings.Count(r.stdout, " [redacted:job.value]\n") != 3000 || strings.Count(r.stderr, "[redacted:job.value] ") != 3000 || strings.Contains(r.stdout+r.stderr, "correct-horse") {
		t.Fatalf("exit %d, %d and %d bytes", r.code, len(r.stdout), len(r.stderr))
	}
	if !strings.HasPrefix(r.stdout, "0 [redacted") || !strings.HasSuffix(r.stdout, "2999 [redacted:job.value]\n") {
		t.Fatal("the output lost its order or its end")
	}
}

func TestRunWithoutACurrentFolder(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	gone := shortDir(t)
	sh := p.cmd()
	sh.Path, sh.Args = "/bin/sh", []string{"sh", "-c", "cd " + gone + " && rmdir " + gone + " && exec zavhoz run job --open -- true"}
	var errs bytes.Buffer
	sh.Stderr = &errs
	_ = sh.Run()
	if sh.ProcessState.ExitCode() != 125 || !strings.Contains(errs.String(), "current folder") {
		t.Fatalf("exit %d: %s", sh.ProcessState.ExitCode(), &errs)
	}
	until(t, "the run that failed is on record", func() bool { return p.ends()[vault.RunFailed] == 1 })
}

// plan gives the values that a person's own run with these resources gets.
func (p *place) plan(handles []string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for chunk := range slices.Chunk(handles, 50) {
		var raw bytes.Buffer
		if err := p.client().call(p.t.Context(), "POST", path("runs", "open"), api.OpenRun{Refs: chunk, Command: []string{"true"}}, &raw); err != nil {
			p.t.Fatal(err)
		}
		plan, err := deliver.DecodePlan(raw.Bytes())
		if err != nil {
			p.t.Fatal(err)
		}
		for _, it := range plan.Items {
			out[it.Handle] = string(it.Value.Reveal())
		}
	}
	return out
}
