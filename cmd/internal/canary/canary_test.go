package canary_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNothingLeaks plants secrets of every kind, drives every tool and every error path over all doors, and searches every byte written anywhere for any
// encoding of eight consecutive bytes of a secret's random part.
func TestNothingLeaks(t *testing.T) {
	h := newHouse(t)
	for name, open := range map[string]func() door{"stdio": h.stdioDoor, "http": h.httpDoor, "sse": h.sseDoor} {
		d := open()
		ran := h.drive(d)
		d.close()
		if ran < len(dumps) {
			t.Errorf("%s: only %d of %d pinned dumps ran: the test would prove little", name, ran, len(dumps))
		}
	}
	h.person()
	h.readBack()
	total := 0
	for _, where := range sortedKeys(h.records) {
		b := h.records[where].Bytes()
		total += len(b)
		if found := h.hunter.Find(b); len(found) > 0 {
			t.Errorf("%s (%d bytes) holds %v\n…%s…", where, len(b), found, h.hunter.Context(b))
		}
	}
	t.Logf("%d bytes from %d places searched", total, len(h.records))
	for _, must := range []string{"stdio replies", "http replies", "sse replies", "daemon stderr", "file vault.db", "proc environ", "door environ"} {
		if h.records[must] == nil || h.records[must].Len() == 0 {
			t.Errorf("nothing was recorded of %q", must)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

var dumps = []string{"plain", "base64", "base64one", "hex", "hexrun", "rev", "stderr", "slow", "fail", "cut", "stdin"}

func tool(name string, args map[string]any) map[string]any {
	return map[string]any{"name": name, "arguments": args}
}

// drive goes through a door with everything that a curious or hostile model would ask. It tells how many pinned dumps came back with output.
func (h *house) drive(d door) (ran int) {
	call := func(name string, args map[string]any) string { return d.call("tools/call", tool(name, args)) }
	d.call("tools/list", nil)
	d.call("prompts/list", nil)
	d.call("prompts/get", map[string]any{"name": "zavhoz_guide"})
	d.call("resources/list", nil)
	for _, handle := range []string{"bot", "key", "zone", "db", "thing", "app", "vps", "nothing"} {
		d.call("resources/read", map[string]any{"uri": "zavhoz://resources/" + handle})
		got := call("allocate_resource", map[string]any{"handle": handle, "purpose": "canary", "idempotency_key": "k" + handle})
		if _, lease, ok := strings.Cut(got, "lse_"); ok && handle == "zone" && len(lease) >= 26 {
			if out := call("release_resource", map[string]any{"lease_id": "lse_" + lease[:26]}); !strings.Contains(out, "Released") {
				h.t.Errorf("release: %.300s", out)
			}
		}
	}
	call("list_resources", map[string]any{})
	if out := call("list_managed_servers", map[string]any{}); !strings.Contains(out, "srv_") {
		h.t.Errorf("no managed server is listed: %.300s", out)
	}
	call("get_status", map[string]any{})
	for i, how := range dumps {
		handles := []string{"bot", "key", "zone", "db", "thing", "app"}
		one := handles[i%len(handles)]
		reply := call("run_with_resource", map[string]any{"resources": []string{one}, "command": []string{"/bin/sh", h.script, how}, "stdin": "hello", "timeout_s": 20})
		if strings.Contains(reply, "redacted:") || strings.Contains(reply, "withheld") {
			ran++
		} else {
			h.t.Logf("dump %s of %s: %.300s", how, one, reply)
		}
	}
	if out := call("run_with_resource", map[string]any{"resources": []string{"paper"}, "command": []string{"/bin/sh", h.script, "file"}, "timeout_s": 20}); !strings.Contains(out, "redacted:") {
		h.t.Errorf("the delivered file was not read: %.300s", out)
	}
	call("run_with_resource", map[string]any{"resources": []string{"bot"}, "command": []string{"/bin/sh", h.script, "hang"}, "timeout_s": 1})
	bg := call("run_with_resource", map[string]any{"resources": []string{"key"}, "command": []string{"/bin/sh", h.script, "hang"}, "background": true})
	if _, id, ok := strings.Cut(bg, "run_"); ok && len(id) >= 26 {
		call("get_run", map[string]any{"run_id": "run_" + id[:26]})
		call("stop_run", map[string]any{"run_id": "run_" + id[:26]})
	} else {
		h.t.Errorf("no background run: %.300s", bg)
	}
	h.overSSH(call)
	h.badCalls(d, call)
	return ran
}

// overSSH has the server print what it was given, and what a careless operator left there.
func (h *house) overSSH(call func(string, map[string]any) string) {
	left := filepath.Join(h.outsideDir, "left.env")
	if err := os.WriteFile(left, []byte("TOKEN="+h.values["bot.token"]+"\nKEY="+h.values["key.key"]+"\n"+h.values["app.private_key"]), 0o600); err != nil {
		h.t.Fatal(err)
	}
	for _, c := range []string{"cat " + left, "base64 " + left, "od -An -v -tx1 " + left, "rev " + left, "tr -d '\\n' < " + left, "cat /nope", "exit 3", "kill -9 $$"} {
		reply := call("run_with_resource", map[string]any{"resources": []string{"vps"}, "command": []string{"ssh", "vps", c}})
		if c == "cat "+left && !strings.Contains(reply, "redacted") {
			h.t.Errorf("ssh %q came back without redactions: %.300s", c, reply)
		}
	}
}

// badCalls are the error paths.
func (h *house) badCalls(d door, call func(string, map[string]any) string) {
	long := strings.Repeat("x", 70_000)
	for _, args := range []map[string]any{
		{}, {"resources": []string{}}, {"resources": []string{"nothing"}, "command": []string{"ls"}}, {"resources": "bot", "command": "env"},
		{"resources": []string{"bot"}, "command": []string{"env"}}, {"resources": []string{"bot"}, "command": []string{"/bin/sh", "-c", "env"}},
		{"resources": []string{"vps"}, "command": []string{"ssh", "-v", "vps"}}, {"resources": []string{"vps"}, "command": []string{"ssh", "elsewhere", "ls"}},
		{"resources": []string{"bot", "vps"}, "command": []string{"ssh", "vps", "ls"}}, {"resources": []string{"bot"}, "command": []string{"pin:dump", "plain"}},
		{"resources": []string{"bot"}, "command": []string{"pin:dump", "$(env)"}}, {"resources": []string{"lse_aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "command": []string{"ls"}},
		{"resources": []string{"bot"}, "command": []string{"/bin/sh", h.script, "plain"}, "env": map[string]any{"LD_PRELOAD": "/x.so"}},
		{"resources": []string{"bot"}, "command": []string{"/bin/sh", h.script, "plain"}, "cwd": "/proc/self"}, {"unknown": 1}, {"resources": []string{long}, "command": []string{long}},
	} {
		call("run_with_resource", args)
	}
	for _, name := range []string{"get_run", "stop_run", "release_resource", "allocate_resource", "list_resources", "list_managed_servers", "get_secret", ""} {
		call(name, map[string]any{"handle": "bot", "run_id": "run_zzzzzzzzzzzzzzzzzzzzzzzzzz", "x": nil})
	}
	d.call("nonsense/method", map[string]any{"a": 1})
	d.call("resources/read", map[string]any{"uri": "file:///etc/passwd"})
}

// person drives the command line, its refusals included.
func (h *house) person() {
	for _, args := range [][]string{
		{"resource", "list"}, {"resource", "list", "--json"}, {"resource", "show", "bot"}, {"resource", "show", "app", "--json"}, {"resource", "history", "thing", "--json"},
		{"status", "--json"}, {"doctor"}, {"audit", "list", "--limit", "1000", "--json"}, {"audit", "verify"}, {"audit", "export"}, {"agent", "list", "--json"}, {"server", "list"},
		{"resource", "edit", "bot", "--set", "username=bad name"}, {"resource", "add", "telegram_bot", "bot"}, {"server", "sync"}, {"nonsense"},
	} {
		_, _ = h.cli("", args...)
	}
	for _, bad := range []string{h.values["bot.token"] + "x y", "short", h.values["app.private_key"][:200]} {
		_, _ = h.cli(bad, "resource", "add", "telegram_bot", "bad", "--secret", "token=-")
		_, _ = h.cli(bad, "resource", "add", "github_app", "bad", "--set", "app_id=1", "--secret", "private_key=-")
		_, _ = h.cli(fmt.Sprintf(`{"token": %q, "oops": `, bad), "resource", "add", "telegram_bot", "bad", "--secrets", "-")
	}
	_, _ = h.cli("", "resource", "add", "generic", "pasted", "--set", "env="+h.values["key.key"], "--secret", "value="+h.file("v", h.values["key.key"]))
	for _, handle := range []string{"bot", "thing", "db"} {
		out, err := h.cli("", "run", handle, "--open", "--", "/bin/sh", h.script, "plain")
		if err != nil || !strings.Contains(out, "redacted:") {
			h.t.Errorf("run --open %s: %v %.200s", handle, err, out)
		}
	}
}

// readBack records every file of the house and what /proc shows of the daemon, and ends it.
func (h *house) readBack() {
	h.recordProcess("proc", h.daemon.Process.Pid)
	h.recordFiles()
	h.end() // what it writes at its end is searched as well, and nobody writes while we search
	h.recordFiles()
}

func (h *house) recordFiles() {
	for _, root := range []string{h.home, h.tmp} {
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(p)
			h.record("file "+e.Name(), append([]byte(e.Name()+"\n"), b...))
			return err
		})
		if err != nil {
			h.t.Error(err)
		}
	}
}

// recordProcess records what /proc shows of a process.
func (h *house) recordProcess(name string, pid int) {
	proc := fmt.Sprintf("/proc/%d", pid)
	for _, part := range []string{"environ", "cmdline", "status", "maps"} {
		b, err := os.ReadFile(filepath.Join(proc, part))
		if err == nil {
			h.record(name+" "+part, b)
		}
	}
	fds, _ := os.ReadDir(filepath.Join(proc, "fd"))
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil {
			h.record(name+" fd", []byte(to+"\n"))
		}
	}
}
