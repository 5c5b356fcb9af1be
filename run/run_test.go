//go:build unix

package run_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Where there are no walls nothing that a model chose starts: every other form is refused with the way on, and leaves no trace of a run.
func TestOnlyPinnedCommandsAndSSHRun(t *testing.T) {
	h, tool := botHouse(t, "echo ran")
	h.add("other", map[string]string{"key": "another-canary-8812"}, policy.Policy{}, nil)
	h.add("server", map[string]string{"host": "192.0.2.77"}, policy.Policy{}, nil)
	h.add("only_named", map[string]string{"key": "another-canary-8813"}, policy.Policy{Pins: []policy.Pin{{Name: "p", Argv: []string{tool}}}, Deliveries: []policy.Delivery{policy.Broker}}, nil)
	h.add("walled", map[string]string{"key": "another-canary-8814"}, policy.Policy{Pins: []policy.Pin{{Name: "p", Argv: []string{tool}}}, MinLevel: policy.LevelSealed}, nil)
	e := newEngine(t, h, nil)
	for name, c := range map[string]struct {
		refs    []string
		command []string
		edit    func(*run.Request)
		code    fault.Code
	}{
		"a shell":              {command: []string{"/bin/sh", "-c", "env"}, code: fault.CommandNotPinned},
		"by basename":          {command: []string{filepath.Base(tool)}, code: fault.CommandNotPinned},
		"by another path":      {command: []string{filepath.Dir(tool) + "/./tool"}, code: fault.CommandNotPinned},
		"one argument more":    {command: []string{tool, "--verbose"}, code: fault.CommandMismatch},
		"pinned for one only":  {refs: []string{"bot", "other"}, command: []string{tool}, code: fault.CommandNotPinned},
		"pinned, not by value": {refs: []string{"only_named"}, command: []string{tool}, code: fault.DeliveryRefused},
		"walls demanded":       {refs: []string{"walled"}, command: []string{tool}, code: fault.IsolationMissing},
		"ssh option":           {refs: []string{"server"}, command: []string{"ssh", "-v", "server", "id"}, code: fault.IsolationMissing},
		"ssh dashes":           {refs: []string{"server"}, command: []string{"ssh", "--", "server", "id"}, code: fault.IsolationMissing},
		"ssh to another":       {refs: []string{"server"}, command: []string{"ssh", "bot", "id"}, code: fault.IsolationMissing},
		"ssh as a user":        {refs: []string{"server"}, command: []string{"ssh", "root@server", "id"}, code: fault.IsolationMissing},
		"ssh alone":            {refs: []string{"server"}, command: []string{"ssh"}, code: fault.IsolationMissing},
		"ssh without command":  {refs: []string{"server"}, command: []string{"ssh", "server"}, code: fault.InvalidArgument},
		"ssh and more":         {refs: []string{"server", "other"}, command: []string{"ssh", "server", "id"}, code: fault.IsolationMissing},
		"ssh by path":          {refs: []string{"server"}, command: []string{"/usr/bin/ssh", "server", "id"}, code: fault.IsolationMissing},
		"ssh with env":         {refs: []string{"server"}, command: []string{"ssh", "server", "id"}, edit: func(r *run.Request) { r.Env = map[string]string{"A": "b"} }, code: fault.IsolationMissing},
		"no command":           {command: nil, code: fault.InvalidArgument},
		"zero byte":            {command: []string{tool + "\x00"}, code: fault.InvalidArgument},
		"stdin not pinned":     {command: []string{tool}, edit: func(r *run.Request) { r.Stdin = []byte("x") }, code: fault.InvalidArgument},
		"variable not pinned":  {command: []string{tool}, edit: func(r *run.Request) { r.Env = map[string]string{"LD_PRELOAD": "/x"} }, code: fault.InvalidArgument},
		"another folder":       {command: []string{tool}, edit: func(r *run.Request) { r.Cwd = "/" }, code: fault.WorkdirRefused},
		"timeout too long":     {command: []string{tool}, edit: func(r *run.Request) { r.Timeout = 2 * time.Hour }, code: fault.InvalidArgument},
		"unknown":              {refs: []string{"none"}, command: []string{tool}, code: fault.UnknownResource},
	} {
		r := request(c.command...)
		if c.refs != nil {
			r.Refs = c.refs
		}
		if c.edit != nil {
			c.edit(&r)
		}
		_, err := e.Run(t.Context(), r)
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if c.code == fault.CommandNotPinned && fault.Of(err).Next == "" {
			t.Errorf("%s: no next step", name)
		}
	}
	if got := h.happened(); len(got) != 0 {
		t.Errorf("a refusal left traces: %v", got)
	}
	_, err := e.Run(t.Context(), request("/bin/sh", "-c", "env"))
	if next := fault.Of(err).Next; !strings.Contains(next, "zavhoz resource policy bot --pin") {
		t.Errorf("next step: %q", next)
	}
}

// A whole pinned run: recorded before anything is opened, output masked, everything told.
func TestAttack01_APinnedRunPrintsItsEnvironment(t *testing.T) {
	h, tool := botHouse(t, `env; echo "err $BOT_TOKEN" >&2; pwd; exit 3`)
	e := newEngine(t, h, nil)
	res := mustRun(t, e, request(tool))
	if res.State != vault.RunExited || res.ExitCode != 3 || res.Isolation != "open" || res.Delivered["bot"] != "env" || res.Redactions != 2 {
		t.Errorf("%+v", res)
	}
	if strings.Contains(res.Stdout+res.Stderr, "canary") || !strings.Contains(res.Stdout, "BOT_TOKEN=[redacted:bot.token]\n") || res.Stderr != "err [redacted:bot.token]\n" {
		t.Errorf("%q %q", res.Stdout, res.Stderr)
	}
	got := h.happened()
	if len(got) < 3 || got[len(got)-1] != "end exited" || slices.Index(got, "start bot") > slices.Index(got, "open res_bot.token") {
		t.Errorf("order: %v", got)
	}
	if record, _ := h.GetRun(t.Context(), alice, res.RunID); record.Redactions != 2 || record.ExitCode != 3 || h.spent["lse_bot"] != 2 {
		t.Errorf("%+v, spent %v", record, h.spent)
	}
}

// The environment is exact, whatever the daemon's own holds (threat-model.md 23, 62).
func TestAttack62_NothingOfTheDaemonsEnvironment(t *testing.T) {
	t.Setenv("ZAVHOZ_AGENT_TOKEN", "canary-of-the-daemon")
	t.Setenv("BASH_ENV", "/attacker")
	h, tool := botHouse(t, `env`)
	h.edit("bot", func(r *vault.Resource) { r.Policy.Pins[0].Env = []string{"STAGE"} })
	r := request(tool)
	r.Env = map[string]string{"STAGE": "prod"}
	res := mustRun(t, newEngine(t, h, nil), r)
	var names []string
	for line := range strings.Lines(res.Stdout) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"BOT_TOKEN", "HOME", "LANG", "PATH", "PWD", "STAGE", "TERM", "TMPDIR", "TZ"}; !slices.Equal(names, want) { // PWD is the shell's own
		t.Errorf("%q", names)
	}
}

func TestFilesAreDelivered(t *testing.T) {
	h, tool := botHouse(t, `test -z "$BOT_TOKEN" && cat "$BOT_TOKEN_FILE" | wc -c; cat "$BOT_TOKEN_FILE"`)
	h.edit("bot", func(r *vault.Resource) { r.Policy.Deliveries = []policy.Delivery{policy.File} })
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if res.Stdout != fmt.Sprintf("%d\n[redacted:bot.token]", len(token)) || res.Delivered["bot"] != "file" {
		t.Errorf("%+v", res)
	}
}

func TestAttack02_CommonEncodings(t *testing.T) {
	h, tool := botHouse(t, `printf %s "$BOT_TOKEN" | base64; printf x%s "$BOT_TOKEN" | base64 -w 20; printf %s "$BOT_TOKEN" | od -An -tx1; printf %s "$BOT_TOKEN" | rev`)
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if res.Redactions < 4 || res.Withheld {
		t.Errorf("%+v", res)
	}
	if plain := base64.StdEncoding.EncodeToString([]byte(token)); strings.Contains(res.Stdout, plain[4:16]) {
		t.Error("base64 came through")
	}
}

func TestAttack03_DisguisedOutputIsWithheld(t *testing.T) {
	h, tool := botHouse(t, `echo harmless; printf %s "$BOT_TOKEN" | sed 's/./& - /g'`)
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if !res.Withheld || res.Stdout != "" || res.Stderr != "" {
		t.Errorf("%+v", res)
	}
}

// Half a secret, a pause, the other half: nothing is let out by a timer.
func TestAttack50_SlowDrip(t *testing.T) {
	h, tool := botHouse(t, `for n in 1 6 11 16 21 26 31 36; do printf %s "$BOT_TOKEN" | cut -c$n-$((n+4)) | tr -d '\n'; sleep 0.02; done`)
	if res := mustRun(t, newEngine(t, h, nil), request(tool)); res.Stdout != "[redacted:bot.token]" {
		t.Errorf("%q", res.Stdout)
	}
}

func TestAttack58_PrefixesAndLines(t *testing.T) {
	h, tool := botHouse(t, `echo "$BOT_TOKEN-and-more"; echo "$BOT_TOKEN"; echo "$BOT_PEM" | head -2`)
	h.edit("bot", func(r *vault.Resource) {
		r.Sealed["longer"] = vault.Sealed{Value: "sealed:" + fmt.Sprintf("%x", token+"-and-more")}
		r.Sealed["pem"] = vault.Sealed{Value: "sealed:" + fmt.Sprintf("%x", "-----BEGIN KEY-----\nb3BlbnNzaC1rZXktdjE\nYWJjZGVmZ2hpamtsbW5v\n-----END KEY-----\n")}
	})
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	if strings.Contains(res.Stdout, "and-more") || strings.Contains(res.Stdout, "b3Blbn") || strings.Contains(res.Stdout, "canary") {
		t.Errorf("%q", res.Stdout)
	}
}

// A secret across the cut, and in what is not text: masked first, then cut.
func TestAttack59_MaskedBeforeItIsCut(t *testing.T) {
	for pad := range 48 {
		h, tool := botHouse(t, fmt.Sprintf(`printf 'xxxxxxxxxxxxxxxx\000\377'; printf %%s "$BOT_TOKEN"; head -c %d /dev/zero | tr '\0' .`, 90-pad))
		res := mustRun(t, newEngine(t, h, func(o *run.Options) { o.KeepOutput = 100 }), request(tool))
		for i := range len(token) - 4 {
			if strings.Contains(res.Stdout, token[i:i+4]) {
				t.Fatalf("pad %d: %q", pad, res.Stdout)
			}
		}
		if len(res.Stdout) > 100 || res.Redactions != 1 {
			t.Fatalf("pad %d: %d bytes, %d redactions", pad, len(res.Stdout), res.Redactions)
		}
	}
}

// An oracle that guesses in bulk loses its output, and its lease pays for every hit.
func TestAttack60_TheBudgetEndsAnOracle(t *testing.T) {
	h, tool := botHouse(t, `i=0; while [ $i -lt 300 ]; do echo "$i $BOT_TOKEN"; i=$((i+1)); done`)
	e := newEngine(t, h, func(o *run.Options) { o.RedactionBudget = 20 })
	res := mustRun(t, e, request(tool))
	if !res.Withheld || res.Stdout != "" || res.ExitCode != 0 || h.spent["lse_bot"] <= 20 {
		t.Errorf("%+v, spent %v", res, h.spent)
	}
	if again, err := e.Get(t.Context(), alice, res.RunID, 0); err != nil || !again.Withheld || again.Stdout != "" {
		t.Errorf("%+v %v", again, err)
	}
}

// Where the redactor cannot be built, nothing comes out.
func TestWithoutARedactorNothingComesOut(t *testing.T) {
	h, tool := botHouse(t, `echo "$BOT_TOKEN"`)
	h.secretErr = fault.New(fault.RecordTampered, "a row", "")
	if _, err := newEngine(t, h, nil).Run(t.Context(), request(tool)); fault.CodeOf(err) != fault.RecordTampered {
		t.Errorf("%v", err)
	}
}

// The resource changed between the look and the record: the second look decides.
func TestTheSecondLookDecides(t *testing.T) {
	h, tool := botHouse(t, `echo ran > /dev/stderr`)
	h.onStart = func() { h.edit("bot", func(r *vault.Resource) { r.Policy.Pins = nil }) }
	res, err := newEngine(t, h, nil).Run(t.Context(), request(tool))
	if fault.CodeOf(err) != fault.IsolationMissing || res.Stderr != "" {
		t.Errorf("%+v %v", res, err)
	}
	if got := h.happened(); !slices.Contains(got, "end failed") || slices.Contains(got, "open res_bot.token") {
		t.Errorf("%v", got)
	}
}

func TestAttack51_AChangedBinaryDoesNotRun(t *testing.T) {
	h, tool := botHouse(t, `echo honest`)
	h.edit("bot", func(r *vault.Resource) { r.Policy.Pins[0].SHA256 = strings.Repeat("0", 64) })
	_, err := newEngine(t, h, nil).Run(t.Context(), request(tool))
	if fault.CodeOf(err) != fault.BinaryChanged || !strings.Contains(fault.Of(err).Next, "zavhoz resource policy bot --pin deploy") || slices.Contains(h.happened(), "open res_bot.token") && strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	if got := h.happened(); got[len(got)-1] != "end failed" {
		t.Errorf("%v", got)
	}
}

// The private folder is writable, private, and gone with the run, whatever the command did to it (threat-model.md 6).
func TestAttack06_ThePrivateFolderGoes(t *testing.T) {
	h, tool := botHouse(t, `pwd; echo "$HOME"; stat -c %a .; mkdir -p a/b; echo "$BOT_TOKEN" > a/b/c; chmod 000 a/b`)
	res := mustRun(t, newEngine(t, h, nil), request(tool))
	lines := strings.Split(res.Stdout, "\n")
	if len(lines) < 3 || lines[0] != lines[1] || lines[2] != "700" {
		t.Fatalf("%q", lines)
	}
	if _, err := os.Stat(lines[0]); !os.IsNotExist(err) {
		t.Errorf("%s is still there", lines[0])
	}
}

func TestTimeoutsStopTheRun(t *testing.T) {
	h, tool := botHouse(t, `echo begun; sleep 1000`)
	r := request(tool)
	r.Timeout = 300 * time.Millisecond
	res := mustRun(t, newEngine(t, h, nil), r)
	if res.State != vault.RunTimedOut || res.Stdout != "begun\n" || res.ExitCode != 143 {
		t.Errorf("%+v", res)
	}
}

func TestACanceledCallStopsItsRun(t *testing.T) {
	h, tool := botHouse(t, `sleep 1000`)
	e := newEngine(t, h, func(o *run.Options) { o.ProgressEvery = time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	r := request(tool)
	r.Progress = func(run.Progress) { cancel() }
	res, err := e.Run(ctx, r)
	if fault.CodeOf(err) != fault.Canceled || res.State != vault.RunStopped {
		t.Errorf("%+v %v", res, err)
	}
}

// Several resources: all pin the command, each fills its own variables; one argv by the pin's name.
func TestSeveralResourcesInOneRun(t *testing.T) {
	h, tool := botHouse(t, `echo "$BOT_TOKEN $DB_URL $1"`)
	h.edit("bot", func(r *vault.Resource) { r.Policy = pinTo(tool, "{n:int}") })
	h.add("db", map[string]string{"url": "postgres://app:p%40ss-canary-99@db.internal/x"}, pinTo(tool, "{n:int}"), nil)
	r := request("pin:deploy", "42")
	r.Refs = []string{"bot", "db"}
	if res := mustRun(t, newEngine(t, h, nil), r); res.Stdout != "[redacted:bot.token] [redacted:db.url] 42\n" {
		t.Errorf("%q", res.Stdout)
	}
}

// The password inside a URL is a secret by itself, as written and decoded.
func TestPasswordsInsideURLs(t *testing.T) {
	h, tool := botHouse(t, `echo "p%40ss-canary-99"; echo "p@ss-canary-99"`)
	h.add("db", map[string]string{"url": "postgres://app:p%40ss-canary-99@db.internal/x"}, policy.Policy{}, nil)
	if res := mustRun(t, newEngine(t, h, nil), request(tool)); res.Stdout != "[redacted]\n[redacted]\n" {
		t.Errorf("%q", res.Stdout)
	}
}

// A value that the redactor cannot mask reliably is never handed to an agent's run.
func TestShortValuesAreNotDelivered(t *testing.T) {
	h, tool := botHouse(t, `env`)
	h.edit("bot", func(r *vault.Resource) {
		for f, s := range r.Sealed {
			s.Value = fmt.Sprintf("sealed:%x", "seven77")
			r.Sealed[f] = s
		}
	})
	_, err := newEngine(t, h, nil).Run(t.Context(), request(tool))
	if fault.CodeOf(err) != fault.DeliveryRefused {
		t.Errorf("got %v", err)
	}
}

// The record of a run holds its argv, masked.
func TestTheRecordedCommandIsMasked(t *testing.T) {
	h, tool := botHouse(t, `true`)
	h.edit("bot", func(r *vault.Resource) { r.Policy = pinTo(tool, "{x:text}") })
	res := mustRun(t, newEngine(t, h, nil), request(tool, strings.Repeat("x", 160)+token))
	record, _ := h.GetRun(t.Context(), alice, res.RunID)
	if want := []string{tool, strings.Repeat("x", 160) + "[redacted:bot.token]"}; !slices.Equal(record.Command, want) {
		t.Errorf("%q", record.Command)
	}
}
