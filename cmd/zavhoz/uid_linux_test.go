package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/web"
)

// sameUID are the ways in which an agent's own shell, with the operator's uid, speaks to the operator's socket: from no terminal; from a terminal of its own making;
// as this very program on such a terminal, with a shell of its own between; and in the process group that it puts into the foreground there.
const speaker = `
import http.client, json, os, pty, socket, sys
class Conn(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(os.environ['S'])
def every(name):
    for line in open(os.environ['R']):
        verb, path, body = line.rstrip('\n').split(' ', 2)
        c = Conn('zavhoz')
        headers = {'Content-Type': 'application/json'}
        if path.endswith('/attend'): headers.update({'Connection': 'upgrade', 'Upgrade': 'zavhoz-run/1'})
        c.request(verb, path, body or None, headers)
        r = c.getresponse(); text = r.read().decode('utf-8', 'replace')
        code = json.loads(text).get('code', '') if text.startswith('{') else text[:80]
        if code != 'presence_required': print('%s: %s %s: %d %s' % (name, verb, path, r.status, code or text[:120]))
        c.close()
every('no terminal')
os.setsid()
pid, fd = pty.fork()
if pid == 0:
    os.tcsetpgrp(0, os.getpgrp())
    every('a terminal of its own')
    sys.stdout.flush(); os._exit(0)
out = b''
while True:
    try: b = os.read(fd, 4096)
    except OSError: break
    if not b: break
    out += b
os.waitpid(pid, 0)
sys.stdout.write(out.decode().replace('\r', ''))
print('done')
`

// bodies are what each route is asked for: what reveals, approves or widens.
var bodies = map[string]string{
	"POST /api/v1/runs/open":                `{"refs":["one"],"command":["env"]}`,
	"POST /api/v1/runs/attend":              `{"refs":["one"],"command":["env"]}`,
	"POST /api/v1/agents":                   `{"name":"mine"}`,
	"PUT /api/v1/presence":                  `{"passphrase":"a word of the agent's"}`,
	"POST /api/v1/resources":                `{"kind":"generic","handle":"two","secrets":{"value":"x-of-the-agent"},"policy":{"agents":["local"]}}`,
	"PATCH /api/v1/resources/{handle}":      `{"attrs":{"env":"OTHER"}}`,
	"PUT /api/v1/resources/{handle}/policy": `{"policy":{"agents":["local"],"deliveries":["env"]}}`,
	"POST /api/v1/servers/{id}/manage":      `{"intent":"yes"}`,
	"POST /api/v1/servers/{id}/reserve":     `{"ram_mb":0}`,
	"POST /api/v1/reserves":                 `{"ports":"1-65535"}`,
	"POST /api/v1/backup":                   `{"to":["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"]}`,
	"DELETE /api/v1/workdirs/{workdir}":     "",
	"POST /api/v1/import":                   `{"on_conflict":"replace"}`,
	"PATCH /api/v1/projects/{id}":           `{"config":{"modules":["of the agent"]}}`,
	"POST /api/v1/approvals/{approval}":     `{"decision":"approve"}`,

	"POST /api/v1/projects/{id}/config/secrets": `{"secrets":{"POSTGRES_HOST":"evil.example"}}`,
}

// TestAttack70_TheAgentsOwnShellTriesEveryAct: a program with the operator's uid tries every route that reveals, approves or widens, and every such command, from no
// terminal and from one that it makes. Each is refused, and afterwards the vault is as it was. What row 22 says stays true: it may still read files of its own uid.
func TestAttack70_TheAgentsOwnShellTriesEveryAct(t *testing.T) {
	s := newAgentsShell(t)
	inner := filepath.Join(s.root, "w", "inner")
	if out := s.shell(own, "mkdir -p "+inner); out != "" {
		t.Fatal(out)
	}
	s.zavhoz(s.home, "", "workdir", "add", filepath.Dir(inner), "--mode", "rw")
	s.zavhoz(s.home, "", "workdir", "add", inner, "--mode", "ro")
	s.zavhoz(s.home, phrase, "presence", "set", "--operator-passphrase-from", "-")
	before := s.zavhoz(s.home, "", "resource", "list", "--json") + s.zavhoz(s.home, "", "agent", "list", "--json") + s.zavhoz(s.home, "", "workdir", "list", "--json")

	var routes strings.Builder
	fill := strings.NewReplacer("{handle}", "one", "projects/{id}", "projects/default", "{id}", "srv_none", "{slot}", "spare", "{run}", "run_none", "{workdir}", strings.ReplaceAll(inner, "/", "%2F"))
	for _, a := range web.Acts() {
		switch {
		case !a.Asks, a.Route == "POST /api/v1/unlock": // an unlocked vault has nothing to unlock: below
			continue
		case a.Route == "GET /api/v1/changes/{run}/diff": // asks where guesses have been answered: TestAttack60_ADiffIsNoOracle
			continue
		case a.Route == "POST /api/v1/projects/{id}/environment": // asks where a person took one away: TestAttack63_WhatWasNarrowedStaysNarrow
			continue
		case a.Route == "POST /api/v1/servers/sync": // widens where it confirms
			a.Route += "?confirm_shrunk=true"
		}
		body, there := bodies[a.Route]
		if !there {
			body = "{}" // refused before it is read
		}
		fmt.Fprintf(&routes, "%s %s\n", fill.Replace(a.Route), body)
	}
	if n := strings.Count(routes.String(), "\n"); n < 20 {
		t.Fatalf("%d routes", n)
	}
	for name, text := range map[string]string{"speaker.py": speaker, "routes": routes.String()} {
		if err := os.WriteFile(filepath.Join(s.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := fmt.Sprintf(`S="$(echo "$H"/run/operator.sock)" R=%s/routes python3 %s/speaker.py`, s.root, s.root)
	if out := s.shell(own, run); out != "done\n" {
		t.Errorf("not refused:\n%s", out)
	}

	for i, command := range []string{
		"run one --open -- env", "run one -- env", "agent add mine", "resource policy one --agent local", "resource edit one --set env=OTHER", "resource rename one other",
		"resource remove one --yes", "resource rollback one --version 1", "key add age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj", "key rotate", "workdir add " + s.root + "/w2 --mode rw",
	} {
		zavhoz := "ZAVHOZ_HOME=\"$H\" " + s.self + " " + command
		for name, script := range map[string]string{
			"no terminal": zavhoz + " </dev/null 2>&1; echo \"[$?]\"",
			// at a terminal of its own it is asked for the passphrase, which it has not: it guesses once, and gives up
			"a terminal of its own": "printf '" + strings.Repeat("guess of the agent\\n", max(0, 1-i)) + "\\003' | setsid script -qec '" + strings.ReplaceAll(zavhoz, "'", "'\\''") + "' /dev/null; echo \"[$?]\"",
		} {
			out := s.shell(own, "mkdir -p "+s.root+"/w2; "+script)
			if strings.Contains(out, "[0]") || strings.Contains(out, theValue) {
				t.Errorf("%s, %s: %s", command, name, out)
			}
		}
	}

	// locking is anybody's; unlocking by the key that lies there, which this shell may read, is the person's
	s.zavhoz(s.home, "", "lock")
	for _, way := range []string{"", " --identity \"$H/identity.txt\""} {
		if out := s.shell(own, "ZAVHOZ_HOME=\"$H\" "+s.self+" unlock"+way+" </dev/null 2>&1"); !strings.Contains(out, "presence_required") {
			t.Errorf("unlock%s: %s", way, out)
		}
	}
	var status struct{ Locked bool }
	decode(t, s.zavhoz(s.home, "", "status", "--json"), &status)
	if !status.Locked {
		t.Fatal("the vault is unlocked")
	}
	if out := s.shell(own, "printf 'a word of the agent' | ZAVHOZ_HOME=\"$H\" "+s.self+" presence set --operator-passphrase-from - 2>&1"); !strings.Contains(out, "vault_locked") {
		t.Errorf("another passphrase for a locked vault: %s", out)
	}
	s.unlockAs(phrase)
	after := s.zavhoz(s.home, "", "resource", "list", "--json") + s.zavhoz(s.home, "", "agent", "list", "--json") + s.zavhoz(s.home, "", "workdir", "list", "--json")
	if after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// unlockAs is the person's unlocking, by the operator's passphrase: over the socket, as the command line does it at a terminal.
func (s *agentsShell) unlockAs(word string) {
	s.t.Helper()
	out := s.shell(own, fmt.Sprintf(`python3 - <<'EOS'
import http.client, os, socket
class Conn(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(os.environ['H'] + '/run/operator.sock')
c = Conn('zavhoz'); c.request('POST', '/api/v1/unlock', '{"presence":"%s"}', {'Content-Type': 'application/json'})
print(c.getresponse().status)
EOS`, word))
	if out != "200\n" {
		s.t.Fatalf("unlock: %s", out)
	}
}
