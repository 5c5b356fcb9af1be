//go:build unix

package run_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// sshHouse has a server behind the handle prod_vps_1. It is known by a name: the address comes to light only when it is dialled.
func sshHouse(t *testing.T, s *sshtest.Server) *house {
	h := newHouse()
	h.add("prod_vps_1", map[string]string{"host": "localhost", "ssh_key": string(s.Key)}, policy.Policy{},
		map[string]string{"user": s.User, "port": strconv.Itoa(s.Port), "host_key": s.HostKey})
	return h
}

func remote(args ...string) run.Request {
	return run.Request{Actor: alice, Refs: []string{"prod_vps_1"}, Command: append([]string{"ssh", "prod_vps_1"}, args...)}
}

// The main job: a command on a server known by its handle only. Neither key nor address shows, whatever the arguments (threat-model.md 47, 49).
func TestAttack49_NeitherKeyNorAddress(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	h := sshHouse(t, server)
	e := newEngine(t, h, nil)
	key := string(server.Key)
	dir := t.TempDir()
	for _, args := range [][]string{
		{"uptime"}, {"env"}, {"echo $SSH_CONNECTION $SSH_CLIENT"}, {"echo", "$SSH_CONNECTION", "|", "rev"}, {"echo $SSH_CONNECTION | base64"}, {"-v", "x"}, {"-L", "8080:localhost:80"},
		{"cat > " + dir + "/k; cat " + dir + "/k; base64 " + dir + "/k"}, {"ss -tn 2>/dev/null; cat /etc/hosts"}, {"nonsense"}, {"echo 127.0.0.1 >&2; exit 5"},
		{"cat /proc/net/tcp; echo $SSH_CONNECTION | tr . -"}, {"echo ip-127-0-0-1.compute.example 1.0.0.127.in-addr.arpa"},
	} {
		r := remote(args...)
		r.Stdin = []byte(key)
		res, err := e.Run(t.Context(), r)
		if err != nil || res.State != vault.RunExited || res.Isolation != run.InProcess || res.Delivered["prod_vps_1"] != "ssh" {
			t.Errorf("%q: %+v %v", args, res, err)
		}
		text := res.Stdout + res.Stderr
		for _, hidden := range []string{"127.0.0.1", "localhost", "1.0.0.721", "MTI3LjAuMC4x", "127-0-0-1", "0100007F", "1.0.0.127", strings.Split(key, "\n")[1]} {
			if strings.Contains(text, hidden) {
				t.Errorf("%q shows %q:\n%s", args, hidden, text)
			}
		}
	}
	if server.Logins() != 1 {
		t.Errorf("%d logins", server.Logins())
	}
}

func TestRemoteExitCodeAndStreams(t *testing.T) {
	h := sshHouse(t, sshtest.Start(t, sshtest.Options{}))
	r := remote("cat;", "echo problem >&2;", "exit 6")
	r.Stdin = []byte("given")
	res := mustRun(t, newEngine(t, h, nil), r)
	if res.ExitCode != 6 || res.Stdout != "given" || res.Stderr != "problem\n" {
		t.Errorf("%+v", res)
	}
}

// A secret of another resource, delivered to the server long ago, is masked on its way back. The mark does not say whose: the agent may not know of that one.
func TestAttack68_ASecretReadBackFromTheServer(t *testing.T) {
	h := sshHouse(t, sshtest.Start(t, sshtest.Options{}))
	h.add("bot", map[string]string{"token": token}, policy.Policy{}, nil)
	res := mustRun(t, newEngine(t, h, nil), remote("echo BOT_TOKEN="+token))
	if res.Stdout != "BOT_TOKEN=[redacted]\n" {
		t.Errorf("%q", res.Stdout)
	}
	for _, ev := range h.happened() {
		if strings.HasPrefix(ev, "open res_bot") {
			t.Errorf("another resource was opened for the run: %s", ev)
		}
	}
}

func TestTheExecPolicyHolds(t *testing.T) {
	h := sshHouse(t, sshtest.Start(t, sshtest.Options{}))
	h.edit("prod_vps_1", func(r *vault.Resource) { r.Policy.Exec = []string{"uptime"} })
	e := newEngine(t, h, nil)
	if res := mustRun(t, e, remote("uptime")); res.ExitCode != 0 {
		t.Errorf("%+v", res)
	}
	for _, args := range [][]string{{"id"}, {"uptime;id"}, {"uptime", ";", "id"}, {"uptime\nid"}, {"uptime", "&&", "id"}} {
		if res, err := e.Run(t.Context(), remote(args...)); err == nil {
			t.Errorf("%q ran: %+v", args, res)
		}
	}
}

func TestRemoteTimeoutAndStop(t *testing.T) {
	h := sshHouse(t, sshtest.Start(t, sshtest.Options{}))
	e := newEngine(t, h, nil)
	r := remote("echo begun; while test -e " + t.TempDir() + "; do sleep 0.2; done") // sshd does not signal root's commands
	r.Timeout = time.Second
	if res := mustRun(t, e, r); res.State != vault.RunTimedOut || res.Stdout != "begun\n" {
		t.Errorf("%+v", res)
	}
	r.Timeout, r.Background = 0, true
	res := mustRun(t, e, r)
	if res, err := e.Stop(t.Context(), alice, res.RunID); err != nil || res.State != vault.RunStopped {
		t.Errorf("%+v %v", res, err)
	}
}

func TestRemoteRefusals(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	for name, c := range map[string]struct {
		edit func(*vault.Resource)
		code fault.Code
	}{
		"no pinned key":    {func(r *vault.Resource) { delete(r.Attrs, "host_key") }, fault.HostKeyUnknown},
		"does not open":    {func(r *vault.Resource) { r.Sealed["ssh_key"] = vault.Sealed{Value: "moved"} }, fault.RecordTampered},
		"delivery refused": {func(r *vault.Resource) { r.Policy.Deliveries = []policy.Delivery{policy.Broker} }, fault.DeliveryRefused},
		"wrong port":       {func(r *vault.Resource) { r.Attrs["port"] = "1" }, fault.ConnectionFailed},
	} {
		h := sshHouse(t, server)
		h.edit("prod_vps_1", c.edit)
		res, err := newEngine(t, h, func(o *run.Options) { o.Secrets = nil }).Run(t.Context(), remote("true"))
		if fault.CodeOf(err) != c.code || strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "localhost") {
			t.Errorf("%s: %+v %v", name, res, err)
		}
	}
}

// The real kinds and policies: a server by ssh, a bot by a pin, and neither the other way.
func TestDefaultRulesKnowTheKinds(t *testing.T) {
	h := sshHouse(t, sshtest.Start(t, sshtest.Options{}))
	tool := script(t, `echo "$TELEGRAM_BOT_TOKEN"`)
	h.add("bot", map[string]string{"token": token}, pinTo(tool), map[string]string{"username": "@bot"})
	h.edit("bot", func(r *vault.Resource) { r.Kind = "telegram_bot" })
	h.edit("prod_vps_1", func(r *vault.Resource) { r.Kind, r.Policy = "server", pinTo(tool) })
	e := newEngine(t, h, func(o *run.Options) { o.Rules = nil })
	if res := mustRun(t, e, remote("echo", "hello")); res.Stdout != "hello\n" {
		t.Errorf("%+v", res)
	}
	if res := mustRun(t, e, request(tool)); res.Stdout != "[redacted:bot.token]\n" || res.Delivered["bot"] != "env" {
		t.Errorf("%+v", res)
	}
	if _, err := e.Run(t.Context(), request("ssh", "bot", "id")); fault.CodeOf(err) != fault.DeliveryRefused {
		t.Errorf("a bot by ssh: %v", err)
	}
	r := request(tool)
	r.Refs = []string{"prod_vps_1"}
	if _, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.DeliveryRefused {
		t.Errorf("a server by its value: %v", err)
	}
}
