package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// replicas makes a vault in a database and homes that serve it; the first made it. Each address leads to the same database.
func replicas(t *testing.T, addresses ...string) (all []*place) {
	t.Helper()
	for _, address := range addresses {
		all = append(all, replicaOf(t, all, address))
	}
	return all
}

// replicaOf is one more home of the vault.
func replicaOf(t *testing.T, all []*place, address string) *place {
	t.Helper()
	p := newPlace(t)
	p.dir = p.dir.Away()
	if len(all) == 0 {
		p.env = append(p.env, "DATABASE_URL="+address)
		p.ok("init", "--store", "env:DATABASE_URL")
	} else {
		identity, err := os.ReadFile(all[0].dir.Identity())
		if err == nil {
			err = os.MkdirAll(p.dir.Path(), 0o700)
		}
		if err == nil {
			err = os.WriteFile(p.dir.Identity(), identity, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.dir.Store(), []byte(address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.status() // serves
	return p
}

// job is a resource with a pinned command that says something and stays.
func (p *place) job() {
	p.t.Helper()
	p.okIn("correct-horse-battery-staple", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	p.ok("resource", "policy", "job", "--agent", "local", "--delivery", "env", "--pin", "talk", "--pin-hash", "none", "--", "/bin/sh", "-c", "echo out-of-the-run; exec sleep 100000")
}

// leader is the id of the daemon that leads, as this one says.
func (p *place) leader() (id string) {
	p.t.Helper()
	for _, r := range p.status().Replicas {
		if r.Leads && id != "" {
			p.t.Errorf("%s and %s lead", id, r.ID)
		}
		if r.Leads {
			id = r.ID
		}
	}
	return id
}

// begin starts the job in the background, by a door of this daemon's.
func (p *place) begin() (run string) {
	p.t.Helper()
	d := p.open()
	d.greet()
	var r struct {
		RunID string `json:"run_id"`
	}
	d.tool("run_with_resource", map[string]any{"resources": []string{"job"}, "command": []string{"pin:talk"}, "background": true}, &r)
	return r.RunID
}

// seen is what an agent is told of a run.
type seen struct {
	State  string `json:"state"`
	Stdout string `json:"stdout"`
}

func (d *stdioDoor) look(run string) (s seen) {
	d.t.Helper()
	d.tool("get_run", map[string]any{"run_id": run, "offset": 0}, &s)
	return s
}

func (p *place) runsUnderWay() (states map[string]vault.RunState) {
	p.t.Helper()
	var page api.Page[vault.Run]
	decode(p.t, p.ok("runs", "list", "--json"), &page)
	states = map[string]vault.RunState{}
	for _, r := range page.Items {
		states[r.ID] = r.State
	}
	return states
}

// TestRunsOfOtherDaemons: a run is seen, read and stopped through any daemon of the vault; another that starts does not take it for lost, and one that died leaves its runs lost.
func TestRunsOfOtherDaemons(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	address := server.URL("sslmode=disable")
	all := replicas(t, address, address)
	all[0].job()
	until(t, "both daemons name the one that leads", func() bool { return all[0].leader() != "" && all[0].leader() == all[1].leader() })
	first, second := all[0].begin(), all[0].begin()
	all[1].stop()
	all = append(all, replicaOf(t, all, address))
	door := all[1].open() // starts it again
	door.greet()
	until(t, "the output of another daemon's run", func() bool {
		s := door.look(first)
		return s.State == "running" && s.Stdout == "out-of-the-run\n"
	})
	if out := all[2].ok("runs", "stop", first); out != first+": stopped.\n" {
		t.Errorf("stopped at another daemon: %s", out)
	}
	if s := door.look(first); s.State != "stopped" || s.Stdout != "out-of-the-run\n" {
		t.Errorf("stopped at another daemon, seen at a third: %+v", s)
	}
	for _, act := range [][]string{{"changes", first}, {"changes", first, "--diff"}, {"discard", first, "--yes"}, {"keep", first}} {
		if r := all[1].run("", append([]string{"runs"}, act...)...); r.code != 3 || !strings.Contains(r.stderr, fmt.Sprint("process ", all[0].status().PID)) || !strings.Contains(r.stderr, "zavhoz runs changes "+first) {
			t.Errorf("%s of a run that is another daemon's: %v", act[0], r)
		}
	}
	if r := all[0].run("", "runs", "changes", first); r.code != 3 || !strings.Contains(r.stderr, "no changes of such a run are held") {
		t.Errorf("of its own run, which changed nothing: %v", r)
	}
	if live := all[1].runsUnderWay(); len(live) != 1 || live[second] != vault.RunRunning {
		t.Errorf("under way: %v", live)
	}
	kill(t, all[0].status().PID)
	until(t, "the run of a dead daemon ends", func() bool { return len(all[1].runsUnderWay()) == 0 })
	if s := door.look(second); s.State != "lost" {
		t.Errorf("the run of a dead daemon: %+v", s)
	}
	if r := all[1].run("", "runs", "changes", second); r.code != 3 || !strings.Contains(r.stderr, "--home FOLDER") {
		t.Errorf("changes of a dead daemon's run: %v", r)
	}
	all[1].ok("audit", "verify")
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func (p *place) locked() bool {
	p.t.Helper()
	return p.status().Locked
}

// TestALockIsForAllDaemons: a person's lock holds at every daemon, also at one that was not running; each is unlocked by itself.
func TestALockIsForAllDaemons(t *testing.T) {
	t.Parallel()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all := replicas(t, address, address, address)
	all[2].stop()
	all[1].ok("lock")
	until(t, "the other daemon is locked", all[0].locked)
	if !all[2].locked() {
		t.Error("a daemon that was not running opened the vault by itself")
	}
	all[0].ok("unlock")
	if all[0].locked() || !all[1].locked() || !all[2].locked() {
		t.Error("one that is unlocked is not alone in it")
	}
	if r := all[1].run("", "lock"); r.code == 0 || !strings.Contains(r.stderr, "were not told") || all[0].locked() {
		t.Errorf("locking where it is locked, while another is open: %v", r)
	}
	all[1].ok("unlock")
	all[2].ok("unlock")
	all[2].stop()
	if all[2].locked() {
		t.Error("a lock from before the last unlocking holds at a start")
	}
	for _, p := range all {
		p.ok("audit", "verify")
	}
}

// TestADataKeyIsReplacedForAll: while one daemon replaces the data key, and another leads what becomes of it, all of them write; nothing is left under the former key.
func TestADataKeyIsReplacedForAll(t *testing.T) {
	t.Parallel()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all := replicas(t, address, address, address)
	book := &ledger{values: map[string]int{}, begun: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	ended := make(chan struct{})
	var writers sync.WaitGroup
	for i, p := range all {
		writers.Go(func() { p.keepsWriting(ctx, book, i, ended) })
	}
	until(t, "writes go on", func() bool { return book.count() > 30 })
	for range 2 {
		all[1].ok("key", "rotate")
		until(t, "the former key is gone", func() bool { return all[2].keys().Rotation == nil })
		n := book.count()
		until(t, "writes go on", func() bool { return book.count() > n+30 || ctx.Err() != nil })
	}
	close(ended)
	writers.Wait()
	for _, p := range all {
		p.holds(book, true)
	}
	all[2].stop()
	all[2].holds(book, true) // by the key that the header has
}

// keepsWriting adds resources and edits each until end.
func (p *place) keepsWriting(ctx context.Context, book *ledger, writer int, end <-chan struct{}) {
	cl := p.client()
	for i := 0; ; i++ {
		select {
		case <-end:
			return
		case <-ctx.Done():
			return
		default:
		}
		handle := fmt.Sprintf("r%d_%d", writer, i)
		book.sends(handle, 1)
		in := map[string]any{"kind": "generic", "handle": handle, "secrets": map[string]string{"value": valueOf(handle, 1)}}
		if !p.insist(ctx, func() error { return cl.call(ctx, "POST", path("resources"), in, nil) }, fault.HandleTaken) {
			return
		}
		book.acknowledged(handle, 1)
		book.sends(handle, 2)
		edit := map[string]any{"secrets": map[string]string{"value": valueOf(handle, 2)}}
		if !p.insist(ctx, func() error { return cl.call(ctx, "PATCH", path("resources", handle), edit, nil) }, "") {
			return
		}
		book.acknowledged(handle, 2)
	}
}

// TestAClientComesToAnyDaemon: no request of an MCP client needs the daemon of the one before, neither over streamable HTTP nor over SSE.
func TestAClientComesToAnyDaemon(t *testing.T) {
	t.Parallel()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all := replicas(t, address, address)
	token := strings.TrimSpace(all[0].ok("agent", "add", "web"))
	var doors []string
	for _, p := range all {
		p.stop()
		addr, _ := p.serveHTTP()
		doors = append(doors, "http://"+addr)
	}
	ask := func(method, url, body, session string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	hello := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":` + handshakeJSON(t) + `}`
	const list = `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`
	session := ask("POST", doors[0]+"/mcp", hello, "").Header.Get("Mcp-Session-Id")
	if b, err := io.ReadAll(ask("POST", doors[1]+"/mcp", list, session).Body); err != nil || !bytes.Contains(b, []byte("run_with_resource")) {
		t.Errorf("a session at another daemon: %v, %s", err, b)
	}
	event := eventsOf(t, ask("GET", doors[0]+"/sse", "", "").Body)
	where := event()
	for _, message := range []string{hello, list} {
		if res := ask("POST", doors[1]+where, message, ""); res.StatusCode != http.StatusAccepted {
			t.Fatalf("a message at another daemon: %d", res.StatusCode)
		}
		if got := event(); !strings.Contains(got, `"result"`) {
			t.Errorf("answered %s", got)
		}
	}
}

// eventsOf gives the data of a stream's events, one after the other.
func eventsOf(t testing.TB, body io.Reader) (event func() string) {
	stream := bufio.NewScanner(body)
	stream.Buffer(nil, 1<<20)
	return func() string {
		t.Helper()
		for stream.Scan() {
			if data, is := strings.CutPrefix(stream.Text(), "data: "); is {
				return data
			}
		}
		t.Fatal("the stream ended: ", stream.Err())
		return ""
	}
}
