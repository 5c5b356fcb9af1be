package run_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestAttendPassesStreamsOn(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.Header.Get("Authorization")) })
		h, e := realHouse(t, nil)
		h.acme(u)
		dir := folder(t, map[string]string{"note": "the key is " + acmeKey + ", said the note\n"})
		s := attend(t, e, run.AttendRequest{
			Refs: []string{"acme"}, Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadOnly}}, Env: map[string]string{"STAGE": "prod"},
			Command: []string{"sh", "-c", `cat; cat note; echo "$STAGE ${#ACME_KEY} $HOME" >&2; echo x 2>/dev/null >made || echo read-only; curl -sS -H "Authorization: Bearer $ACME_KEY" ` + u.url("/v1/x") + `; exit 7`},
		}, nil)
		s.types("one\n")
		s.expect("one\n") // as it comes
		s.types("two\n")
		_ = s.typed.Close()
		end := s.end()
		if s.err != nil || end.ExitCode != 7 || end.Fault != nil || end.Redactions == 0 {
			t.Fatalf("%+v, %v: %q", end, s.err, s.out(1))
		}
		out, errs := s.out(0), s.out(1)
		if strings.Contains(out+errs, acmeKey) || !strings.Contains(out, "two\nthe key is [redacted:acme.key], said the note\nread-only\nBearer ") {
			t.Errorf("%q", out)
		}
		if want := fmt.Sprintf("prod %d /home/agent\n", len(acmeKey)); errs != want {
			t.Errorf("%q, want %q", errs, want)
		}
		if !u.saw("Authorization", "Bearer "+acmeKey) {
			t.Error("the API did not see the key")
		}
		r := s.record(h)
		if r.State != vault.RunExited || r.ExitCode != 7 || r.Isolation != string(s.started.Isolation) || r.Delivered["acme"] != "broker" || r.OutBytes == 0 || r.Redactions != end.Redactions {
			t.Errorf("%+v", r)
		}
	})
}

// A whole agent on a terminal of its own: a shell stands for it.
func TestAttendOnATerminalMadeInside(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "seen") })
		h, e := realHouse(t, nil)
		h.acme(u)
		dir, secretDir := folder(t, nil), folder(t, map[string]string{"id": "private"})
		s := attend(t, e, run.AttendRequest{
			Refs: []string{"acme"}, Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadWrite}}, Env: map[string]string{"MARK": "> "},
			Command: []string{"sh", "-c", `PS1="$MARK" ENV= exec sh -i`}, Terminal: &sandbox.Terminal{Rows: 31, Cols: 97}, Term: "xterm-256color",
		}, nil)
		do := func(line string) string {
			t.Helper()
			s.types(line + "\n")
			s.expect("\n") // its echo
			return strings.ReplaceAll(s.expect("> "), "\r", "")
		}
		s.expect("> ")
		if got := do("stty size; echo $TERM; tty"); !strings.HasPrefix(got, "31 97\nxterm-256color\n/dev/pts/") {
			t.Errorf("%q", got)
		}
		s.acts <- run.Act{Rows: 20, Cols: 60}
		for got := ""; got != "20 60\n"; { // the kernel tells the shell in its own time
			got = do("stty size")
		}
		// every key is seen, also one that begins a secret
		for i := range 3 {
			s.types(acmeKey[i : i+1])
			s.expect(acmeKey[i : i+1])
		}
		s.types("\x15") // and taken back
		if got := do("echo pro''mpt"); !strings.Contains(got, "prompt") {
			t.Errorf("%q", got)
		}
		s.types("sh -c \"echo as''leep; exec sleep 1000\"\n")
		s.expect("asleep") // and in the foreground: earlier, the key would be the shell's
		s.types("\x03")
		s.expect("> ")
		if got := do("env | grep ACME; cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n' | grep ACME"); !strings.Contains(got, "ACME_KEY=") || strings.Contains(got, acmeKey) {
			t.Errorf("%q", got)
		}
		if got := do("cat " + secretDir + "/id || echo invisible"); !strings.Contains(got, "invisible") || strings.Contains(got, "private") {
			t.Errorf("%q", got)
		}
		if got := do(fmt.Sprintf("curl -sS --noproxy '*' https://127.0.0.1:%d/ || echo no way", u.port)); !strings.Contains(got, "no way") {
			t.Errorf("past the proxy: %q", got)
		}
		if got := do(`curl -sS -H "Authorization: Bearer $ACME_KEY" ` + u.url("/v1/x")); !strings.Contains(got, "seen") || !u.saw("Authorization", "Bearer "+acmeKey) {
			t.Errorf("through the proxy: %q", got)
		}
		do("echo kept > made")
		if b, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(b) != "kept\n" {
			t.Errorf("%q, %v", b, err)
		}
		s.types("echo bye; exit 5\n")
		s.expect("bye; exit")
		if end := s.end(); end.ExitCode != 5 || end.Fault != nil || !strings.HasSuffix(strings.TrimSpace(s.out(0)), "bye") {
			t.Fatalf("%+v: %q", end, s.out(0))
		}
		if strings.Contains(s.out(0), acmeKey) {
			t.Error("the value came to the screen")
		}
	})
}

// A value is kept off the screen at its own width, so that what draws there stays in order; and it is not put together by waiting between its bytes.
func TestAttack50_ADripOntoATerminal(t *testing.T) {
	h, e := realHouse(t, nil)
	h.keep("generic", "one", nil, map[string]string{"value": acmeKey}, policy.Policy{})
	dir := folder(t, map[string]string{"v": acmeKey})
	s := attend(t, e, run.AttendRequest{
		Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadOnly}}, Terminal: &sandbox.Terminal{Rows: 24, Cols: 80}, Term: "xterm",
		Command: []string{"sh", "-c", `echo "[$(cat v)]"; i=1; while c=$(cut -c$i v) && [ -n "$c" ]; do printf %s "$c"; sleep 0.05; i=$((i+1)); done; echo; echo done`},
	}, nil)
	end := s.end()
	out := s.out(0)
	if strings.Contains(out, acmeKey) || !strings.Contains(out, "["+strings.Repeat("*", len(acmeKey))+"]") || !strings.Contains(out, "done") || end.Redactions != 2 {
		t.Fatalf("%+v %q", end, out)
	}
	if strings.Contains(out, acmeKey[:5]) || !strings.Contains(out, acmeKey[:4]+strings.Repeat("*", len(acmeKey)-4)) {
		t.Errorf("more than the first 4 bytes came: %q", out)
	}
}

func TestAttendEnds(t *testing.T) {
	h, e := realHouse(t, nil)
	h.keep("generic", "one", nil, map[string]string{"value": acmeKey}, policy.Policy{})
	sleep := run.AttendRequest{Command: []string{"sh", "-c", `trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done`}}

	gone := attend(t, e, sleep, nil)
	gone.expect("ready")
	gone.hangUp()
	gone.end()
	if r := gone.record(h); r.State != vault.RunStopped || r.Code != string(fault.Canceled) {
		t.Errorf("nobody there any more: %+v", r)
	}

	late := sleep
	late.Timeout = 1500 * time.Millisecond
	timed := attend(t, e, late, nil)
	if end := timed.end(); end.ExitCode != fault.ExitRunTimeout || end.Fault.Code != fault.TimedOut || timed.record(h).State != vault.RunTimedOut {
		t.Errorf("timeout: %+v %+v", end, end.Fault)
	}

	stopped := attend(t, e, sleep, nil)
	stopped.expect("ready")
	if _, err := e.Stop(t.Context(), person, stopped.started.RunID); err != nil {
		t.Fatal(err)
	}
	if end := stopped.end(); end.Fault == nil || end.Fault.Code != fault.Canceled || stopped.record(h).State != vault.RunStopped {
		t.Errorf("stopped: %+v", end)
	}

	signalled := attend(t, e, sleep, nil)
	signalled.expect("ready")
	signalled.acts <- run.Act{Signal: "INT"}
	signalled.expect("caught")
	if end := signalled.end(); end.ExitCode != 9 || end.Fault != nil {
		t.Errorf("a signal: %+v", end)
	}

	none := attend(t, e, run.AttendRequest{Command: []string{"no-such-program"}}, nil)
	if end := none.end(); end.ExitCode != fault.ExitRunNotFound || end.Fault == nil || end.Fault.Code != fault.BinaryMissing || none.err != nil {
		t.Errorf("no such program: %+v %+v, %v", end, end.Fault, none.err)
	}

	last := attend(t, e, sleep, nil)
	last.expect("ready")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if end := last.end(); end.ExitCode != fault.ExitRunRefused || end.Fault.Code != fault.DaemonUnavailable || last.record(h).State != vault.RunStopped {
		t.Errorf("shutdown: %+v", end)
	}
	if err := e.Attend(t.Context(), withActor(sleep), nil); fault.CodeOf(err) != fault.DaemonUnavailable {
		t.Errorf("after the shutdown: %v", err)
	}
}

func withActor(r run.AttendRequest) run.AttendRequest {
	r.Actor = person
	return r
}

// A person's side that takes nothing holds the command back, not the daemon's memory; and what was written by its end comes in full when it is taken.
func TestAttendWithASlowReader(t *testing.T) {
	_, e := realHouse(t, nil)
	const size = 8 << 20
	dir := folder(t, nil)
	s := attend(t, e, run.AttendRequest{
		Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadWrite}}, Command: []string{"sh", "-c", fmt.Sprintf("echo on > begun; head -c %d /dev/zero; echo all > written; echo end", size)},
	}, func(s *screen) { s.blocked = make(chan struct{}) })
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "begun")); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond) // a chance to go wrong
	if _, err := os.Stat(filepath.Join(dir, "written")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%d bytes went somewhere while nobody took any: %v", size, err)
	}
	s.let()
	if end := s.end(); end.ExitCode != 0 || len(s.out(0)) != size+len("end\n") || !strings.HasSuffix(s.out(0), "end\n") {
		t.Fatalf("%+v, %d bytes", end, len(s.out(0)))
	}
}

// What was told to end ends, also where the person's side takes nothing.
func TestAttendIsNotHeldUpByASilentReader(t *testing.T) {
	h, e := realHouse(t, nil)
	s := attend(t, e, run.AttendRequest{Timeout: time.Second, Command: []string{"cat", "/dev/zero"}}, func(s *screen) { s.blocked = make(chan struct{}) })
	s.end()
	if r := s.record(h); r.State != vault.RunTimedOut {
		t.Errorf("%+v", r)
	}
}

// A home that stays, and programs from an install outside the system's folders.
func TestAttendHomeAndPrograms(t *testing.T) {
	_, e := realHouse(t, nil)
	home, install := folder(t, nil), folder(t, nil)
	bin := filepath.Join(install, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "agent"), []byte("#!/bin/sh\necho \"$HOME $(pwd)\"; cat login 2>/dev/null; echo session > login\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := run.AttendRequest{
		Home: home, Path: []string{bin}, Command: []string{"agent"},
		Workdirs: []sandbox.Workdir{{Path: home, Mode: sandbox.ReadWrite}, {Path: install, Mode: sandbox.ReadOnly}},
	}
	for _, want := range []string{home + " " + home + "\n", home + " " + home + "\nsession\n"} {
		s := attend(t, e, r, nil)
		if end := s.end(); end.ExitCode != 0 || s.out(0) != want {
			t.Fatalf("%+v %q %q, want %q", end, s.out(0), s.out(1), want)
		}
	}
}

func TestAttendRefuses(t *testing.T) {
	h, e := realHouse(t, nil)
	h.keep("generic", "plain", nil, map[string]string{"value": acmeKey}, policy.Policy{})
	h.keep("api_key", "walled", map[string]string{"env": "W", "hosts": upstreamHost}, map[string]string{"key": acmeKey}, policy.Policy{MinLevel: policy.LevelVaulted})
	dir := folder(t, nil)
	for name, c := range map[string]struct {
		r    run.AttendRequest
		code fault.Code
	}{
		"an agent":            {run.AttendRequest{Actor: alice, Command: []string{"sh"}}, fault.NotPermitted},
		"no command":          {run.AttendRequest{}, fault.InvalidArgument},
		"unknown":             {run.AttendRequest{Refs: []string{"nobody"}, Command: []string{"sh"}}, fault.UnknownResource},
		"nothing stands in":   {run.AttendRequest{Refs: []string{"plain"}, Command: []string{"sh"}}, fault.DeliveryRefused},
		"walls demanded":      {run.AttendRequest{Refs: []string{"walled"}, Command: []string{"sh"}}, fault.IsolationMissing},
		"walls asked for":     {run.AttendRequest{Level: policy.LevelVaulted, Command: []string{"sh"}}, fault.IsolationMissing},
		"a level of no name":  {run.AttendRequest{Level: "solid", Command: []string{"sh"}}, fault.IsolationMissing},
		"an unseen folder":    {run.AttendRequest{Dir: dir, Command: []string{"sh"}}, fault.WorkdirRefused},
		"a home of no folder": {run.AttendRequest{Home: dir, Command: []string{"sh"}}, fault.WorkdirRefused},
		"a read-only home":    {run.AttendRequest{Home: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadOnly}}, Command: []string{"sh"}}, fault.WorkdirRefused},
		"a loader's variable": {run.AttendRequest{Env: map[string]string{"LD_PRELOAD": "/x"}, Command: []string{"sh"}}, fault.InvalidArgument},
		"another proxy":       {run.AttendRequest{Env: map[string]string{"HTTPS_PROXY": "http://x"}, Command: []string{"sh"}}, fault.InvalidArgument},
		"a relative PATH":     {run.AttendRequest{Path: []string{"bin"}, Command: []string{"sh"}}, fault.InvalidArgument},
	} {
		if c.r.Actor.Type == "" {
			c.r.Actor = person
		}
		err := e.Attend(t.Context(), c.r, func() (*run.Seat, error) {
			t.Errorf("%s: was let in", name)
			return nil, errors.New("no seat")
		})
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for _, what := range h.happened() {
		if strings.HasPrefix(what, "start") {
			t.Errorf("a refusal left a run: %s", what)
		}
	}
	err := e.Attend(t.Context(), run.AttendRequest{Actor: person, Refs: []string{"plain"}, Command: []string{"sh"}}, nil)
	if next := fault.Of(err).Next; !strings.Contains(next, "zavhoz run plain --open") {
		t.Errorf("a person's way on: %q", next)
	}
	// whose connection is gone before it was taken over
	err = e.Attend(t.Context(), run.AttendRequest{Actor: person, Command: []string{"sh"}}, func() (*run.Seat, error) { return nil, io.ErrClosedPipe })
	if !errors.Is(err, io.ErrClosedPipe) || h.happened()[len(h.happened())-1] != "end stopped" {
		t.Errorf("%v, %v", err, h.happened())
	}
}

// A terminal's kind is a name: a path would have programs read a description that somebody else wrote.
func TestAttack23_ATerminalsKind(t *testing.T) {
	_, e := realHouse(t, nil)
	for _, term := range []string{"../../tmp/evil", "/tmp/evil", "", "a b", strings.Repeat("x", 65)} {
		s := attend(t, e, run.AttendRequest{Terminal: &sandbox.Terminal{}, Term: term, Command: []string{"sh", "-c", "echo [$TERM]"}}, nil)
		if s.end(); !strings.Contains(s.out(0), "[dumb]") {
			t.Errorf("%q: %q", term, s.out(0))
		}
	}
}

// A session may outlive what the vault knew when it began: what is added later is kept off the screen too.
func TestAttendLearnsOfNewSecrets(t *testing.T) {
	h, e := realHouse(t, nil)
	h.keep("generic", "one", nil, map[string]string{"value": acmeKey}, policy.Policy{})
	dir := folder(t, map[string]string{"later": "later-canary-Hq82LmZ0pX"})
	s := attend(t, e, run.AttendRequest{
		Dir: dir, Workdirs: []sandbox.Workdir{{Path: dir, Mode: sandbox.ReadOnly}}, Command: []string{"sh", "-c", `while read -r x; do echo "$x: $(cat later)"; done`},
	}, nil)
	s.types("before\n")
	s.expect("before: later-canary-Hq82LmZ0pX\n")
	h.keep("generic", "two", nil, map[string]string{"value": "later-canary-Hq82LmZ0pX"}, policy.Policy{})
	e.Changed("res_two")
	s.types("after\n")
	s.expect("after: [redacted:two.value]\n")
	_ = s.typed.Close()
	if end := s.end(); end.ExitCode != 0 || end.Redactions != 1 {
		t.Errorf("%+v", end)
	}
}

// Where the matcher of all secrets cannot be made, nothing is shown.
func TestAttendShowsNothingUnsearched(t *testing.T) {
	h, e := realHouse(t, nil)
	h.secretErr = errors.New("the store is gone")
	s := attend(t, e, run.AttendRequest{Command: []string{"sh", "-c", "echo hello; sleep 100"}}, nil)
	<-s.done
	if s.out(0) != "" || fault.CodeOf(s.err) == "" && (s.ended.Fault == nil || s.ended.Fault.Code != fault.OutputWithheld) {
		t.Errorf("%q, %+v, %v", s.out(0), s.ended.Fault, s.err)
	}
}
