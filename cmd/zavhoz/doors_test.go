//go:build unix

package main

import (
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// five opens five doors at the same moment and drives each to a tool call.
func five(p *place) []*stdioDoor {
	p.t.Helper()
	doors := make([]*stdioDoor, 5)
	for i := range doors {
		doors[i] = p.open()
	}
	var wg sync.WaitGroup
	for _, d := range doors {
		wg.Go(func() {
			d.greet()
			d.serves()
		})
	}
	wg.Wait()
	return doors
}

func TestFiveDoorsWithoutADaemon(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	p.stop()
	before := p.logSays("serving", 1)
	five(p)
	if started := p.logSays("serving", 1) - before; started != 1 {
		t.Fatalf("%d daemons were started for five doors", started)
	}
}

func TestFiveDoorsWithADaemon(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	pid := p.status().PID
	doors := five(p)
	if got := p.status().PID; got != pid {
		t.Fatalf("daemon %d became %d", pid, got)
	}
	// killing a door harms nobody
	doors[0].kill()
	doors[1].kill()
	for _, d := range doors[2:] {
		d.serves()
	}
	if got := p.status().PID; got != pid {
		t.Fatalf("daemon %d became %d", pid, got)
	}
	// closing one ends it in peace
	_ = doors[2].in.Close()
	if err := doors[2].cmd.Wait(); err != nil {
		t.Fatalf("a door that its client closed: %v", err)
	}
}

func TestDaemonKilledUnderOpenDoors(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	a, b := p.open(), p.open()
	a.greet()
	b.greet()
	var lease struct {
		ID string `json:"lease_id"`
	}
	a.tool("allocate_resource", map[string]any{"handle": "one", "purpose": "a test", "ttl_s": 600}, &lease)
	for range 3 {
		p.kill(p.status().PID)
		// the same doors go on: the next call starts another daemon, and what was acknowledged is there
		var wg sync.WaitGroup
		wg.Go(a.serves)
		wg.Go(b.serves)
		wg.Wait()
		var leases struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
		}
		cl := p.client()
		if err := cl.call(t.Context(), "GET", path("leases"), nil, &leases); err != nil {
			t.Fatal(err)
		}
		if len(leases.Items) != 1 || leases.Items[0].ID != lease.ID {
			t.Fatalf("leases after the daemon's death: %v, want %s", leases.Items, lease.ID)
		}
	}
	a.tool("release_resource", map[string]any{"lease_id": lease.ID}, nil)
	p.ok("audit", "verify")
}

func TestBackgroundRunOutlivesItsDoor(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	fifo := p.write("go", "")
	_ = os.Remove(fifo)
	if err := mkfifo(fifo); err != nil {
		t.Fatal(err)
	}
	script := p.write("wait.sh", "#!/bin/sh\necho begun\nread line < "+fifo+"\necho \"$line ${#JOB} $JOB\"\nexit 3\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	p.ok("resource", "policy", "job", "--agent", "local", "--delivery", "env", "--pin", "wait", "--pin-open", "--", "/bin/sh", script)

	first := p.open()
	first.greet()
	var run struct {
		ID    string `json:"run_id"`
		State string
	}
	first.tool("run_with_resource", map[string]any{"resources": []string{"job"}, "command": []string{"pin:wait"}, "background": true}, &run)
	first.kill()

	second := p.open()
	second.greet()
	var state struct {
		State      string
		Stdout     string
		ExitCode   *int `json:"exit_code"`
		Redactions int
	}
	until(t, "the run says that it has begun", func() bool {
		second.tool("get_run", map[string]any{"run_id": run.ID}, &state)
		return strings.Contains(state.Stdout, "begun")
	})
	if state.State != "running" {
		t.Fatalf("state %q after the door that began it was killed", state.State)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the run ends", func() bool {
		second.tool("get_run", map[string]any{"run_id": run.ID}, &state)
		return state.State != "running"
	})
	if state.State != "exited" || state.ExitCode == nil || *state.ExitCode != 3 || !strings.Contains(state.Stdout, "go 21 [redacted:job.value]") {
		t.Fatalf("%+v", state)
	}
}

func TestDaemonFailureHasItsTrueCodeAtEveryDoor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(p *place)
		want   fault.Code
		exit   int
	}{
		{"key file exposed", func(p *place) { chmod(t, p.dir.Identity(), 0o644) }, fault.KeyFileExposed, 7},
		{"home open to others", func(p *place) { chmod(t, p.dir.Path(), 0o755) }, fault.KeyFileExposed, 7},
		{"wrong identity", func(p *place) {
			other := initialised(t)
			b, err := os.ReadFile(other.dir.Identity())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.dir.Identity(), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, fault.WrongIdentity, 7},
		{"cut vault", func(p *place) {
			if err := os.Truncate(p.dir.Vault(), 9000); err != nil {
				t.Fatal(err)
			}
		}, fault.VaultCorrupt, 7},
		{"configuration", func(p *place) { p.configure("level: info", "level: loud") }, fault.InvalidArgument, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := initialised(t)
			c.damage(p)
			if r := p.run("", "status", "--json"); r.code != c.exit || !strings.Contains(r.stderr, `"`+string(c.want)+`"`) || r.stdout != "" {
				t.Errorf("the command line: %v", r)
			}
			var wg sync.WaitGroup
			for range 3 {
				d := p.open()
				wg.Go(func() {
					m := d.receive(d.send("initialize", handshake()))
					if m.Error == nil || !strings.Contains(string(m.Error.Data), `"`+string(c.want)+`"`) {
						t.Errorf("a door says %+v", m)
					}
				})
			}
			wg.Wait()
		})
	}
}

func chmod(t testing.TB, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func TestDoorWithoutAVaultSaysSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	d := p.open()
	m := d.receive(d.send("initialize", handshake()))
	if m.Error == nil || !strings.Contains(string(m.Error.Data), `"not_initialized"`) {
		t.Fatalf("%+v", m)
	}
	// and goes on once there is one
	p.ok("init")
	p.addGeneric("one", "correct-horse-battery")
	d.greet()
	d.serves()
}

func TestStaleSockets(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	p.kill(p.status().PID) // its sockets stay behind
	if _, err := os.Stat(p.dir.AgentSock()); err != nil {
		t.Fatal(err)
	}
	d := p.open()
	d.greet()
	d.serves()
	p.kill(p.status().PID)
	// something that is no socket at all
	for _, name := range []string{p.dir.AgentSock(), p.dir.OperatorSock()} {
		_ = os.Remove(name)
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.serves()
	p.status()
	// a socket on which nobody answers
	p.kill(p.status().PID)
	_ = os.Remove(p.dir.AgentSock())
	l, err := net.Listen("unix", p.dir.AgentSock())
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	d.serves()
}

// What greets a door and dies does not show at the client: the door dials again, which starts the next daemon.
func TestDoorSurvivesACutGreeting(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	p.stop()
	_ = os.Remove(p.dir.AgentSock())
	dying, err := net.Listen("unix", p.dir.AgentSock())
	if err != nil {
		t.Fatal(err)
	}
	dying.(*net.UnixListener).SetUnlinkOnClose(false)
	d := p.open()
	id := d.send("initialize", handshake())
	c, err := dying.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // the greeting has begun
		t.Fatal(err)
	}
	dying.Close()
	c.Close()
	if m := d.receive(id); m.Error != nil {
		t.Fatalf("the client sees %+v", m.Error)
	}
	d.serves()
}

// Doors that open while the daemon ends find the next one, whatever the moment.
func TestDoorsOpenWhileTheDaemonEnds(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	for range 5 {
		pid := p.status().PID
		doors := []*stdioDoor{p.open(), p.open(), p.open()}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for _, d := range doors {
			d.greet()
			d.serves()
			d.kill()
		}
	}
}

// Sockets that somebody deletes under a daemon come back, and what somebody puts in their place goes: the daemon holds the vault, and no other could start.
func TestSocketsComeBack(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	pid := p.status().PID
	d := p.open()
	d.greet()
	for _, name := range []string{p.dir.AgentSock(), p.dir.OperatorSock()} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.status().PID; got != pid {
		t.Fatalf("daemon %d became %d", pid, got)
	}
	d.serves() // who was connected stays
	fresh := p.open()
	fresh.greet()
	fresh.serves()

	_ = os.Remove(p.dir.AgentSock())
	if err := os.WriteFile(p.dir.AgentSock(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(p.dir.Run() + "/operator.sock"); err != nil {
		t.Fatal(err)
	}
	if got := p.status().PID; got != pid {
		t.Fatalf("daemon %d became %d", pid, got)
	}
	other := p.open()
	other.greet()
	other.serves()
}

func TestSecondDaemonGetsVaultBusy(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	pid := p.status().PID
	r := p.run("", "serve", "--json")
	if r.code != fault.ExitUnavailable || !strings.Contains(r.stderr, `"vault_busy"`) {
		t.Fatal(r)
	}
	if got := p.status().PID; got != pid {
		t.Fatalf("daemon %d became %d", pid, got)
	}
}

func TestIdleDaemonEnds(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.addGeneric("one", "correct-horse-battery")
	p.stop()
	p.configure("idle_exit_s: 900", "idle_exit_s: 1")
	p.configure("level: info", "level: debug")

	// nobody is there
	pid := p.status().PID
	until(t, "the idle daemon ends", func() bool { return !alive(pid) })

	// a lease keeps it, though its door has gone; given back, it ends
	d := p.open()
	d.greet()
	var lease struct {
		ID string `json:"lease_id"`
	}
	d.tool("allocate_resource", map[string]any{"handle": "one", "purpose": "a test", "ttl_s": 600}, &lease)
	d.kill()
	pid = p.status().PID
	const looked = "kept though nobody is there"
	until(t, "the daemon was idle and looked whether it is needed, twice, or has ended", func() bool { return !alive(pid) || p.logSays(looked, 0) >= 2 })
	if !alive(pid) || p.status().Leases != 1 {
		t.Fatal("the daemon ended under a lease")
	}
	d = p.open()
	d.greet()
	d.tool("release_resource", map[string]any{"lease_id": lease.ID}, nil)
	d.kill()
	until(t, "the daemon ends after the lease was given back", func() bool { return !alive(pid) })
}

// logSays counts lines of the daemon's log that hold a text, once there are at least so many.
func (p *place) logSays(text string, atLeast int) int {
	n := 0
	until(p.t, "the log says "+text, func() bool {
		b, _ := os.ReadFile(p.dir.Log())
		n = strings.Count(string(b), text)
		return n >= atLeast
	})
	return n
}
