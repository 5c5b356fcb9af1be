package run_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// A real ssh within walls, against a real server, in the hands of a hostile command: no key, no agent, no tunnel, no address; what was left on the server is masked.
func TestAttack47_NoKeyWithinWalls(t *testing.T) {
	k := servers(t)
	onServer(t, k, func(t *testing.T, ssh func(script string) run.Result) {
		res := ssh(`ssh -v prod_vps_1 true; ssh-add -L; find / -name 'id_*' -readable 2>/dev/null; cat ~/.ssh/* ~/.zavhoz/ssh_config /etc/ssh/ssh_config 2>/dev/null; env | grep -i ssh; true`)
		key := strings.Split(k.SSHKey, "\n")
		for _, line := range key[1 : len(key)-2] {
			if len(line) > 20 && strings.Contains(res.Stdout+res.Stderr, line) {
				t.Fatalf("the key came out: %+v", res)
			}
		}
		if strings.Contains(res.Stdout+res.Stderr, "PRIVATE KEY") || strings.Contains(res.Stdout, "SSH_AUTH_SOCK=") {
			t.Fatalf("%+v", res)
		}
	})
}

func TestAttack48_NoAgentWithinWalls(t *testing.T) {
	k := servers(t)
	onServer(t, k, func(t *testing.T, ssh func(script string) run.Result) {
		res := ssh(`ssh -A prod_vps_1 'echo "agent=[$SSH_AUTH_SOCK]"; ssh-add -l'; ssh somebody@127.0.0.1 -p ` + strconv.Itoa(k.SSHPort) + ` id; ssh other_host id; true`)
		if !strings.Contains(res.Stdout, "agent=[]") || strings.Contains(res.Stdout, "uid=") || strings.Contains(res.Stdout, "SHA256:") {
			t.Fatalf("%+v", res)
		}
	})
}

func TestAttack49_NoTunnelAndNoAddressWithinWalls(t *testing.T) {
	k := servers(t)
	addr, heard := ear(t)
	_, port, _ := strings.Cut(addr, ":")
	onServer(t, k, func(t *testing.T, ssh func(script string) run.Result) {
		res := ssh(`ssh prod_vps_1 'echo "$SSH_CONNECTION $SSH_CLIENT"; echo 127.0.0.1; echo ip-127-0-0-1'; ssh -W 127.0.0.1:` + port + ` prod_vps_1 </dev/null && echo reached
			(ssh -N -o ExitOnForwardFailure=yes -L 9999:127.0.0.1:` + port + ` prod_vps_1 & p=$!; sleep 1; curl -sS --max-time 3 --noproxy '*' http://127.0.0.1:9999/; kill $p) 2>&1
			ssh -N -o ExitOnForwardFailure=yes -R 9998:127.0.0.1:22 prod_vps_1 && echo reached; ssh -o ExitOnForwardFailure=yes -D 9997 prod_vps_1 echo socks; true`)
		if heard() || strings.Contains(res.Stdout, "reached") {
			t.Fatalf("%+v", res)
		}
		first, _, _ := strings.Cut(res.Stdout, "ip-")
		if strings.Contains(first, "127.0.0.1 ") || strings.Contains(first, "\n127.0.0.1\n") {
			t.Fatalf("the address came out: %q", res.Stdout)
		}
	})
}

func TestAttack68_WhatWasLeftOnTheServerWithinWalls(t *testing.T) {
	k := servers(t)
	onServer(t, k, func(t *testing.T, ssh func(script string) run.Result) {
		left := filepath.Join(k.Folder, "left-"+strconv.Itoa(os.Getuid()))
		res := ssh(`ssh prod_vps_1 'echo TOKEN=` + acmeKey + ` >` + left + `; cat ` + left + `; base64 ` + left + `; rev ` + left + `'; scp -q prod_vps_1:` + left + ` copy && cat copy; ssh -tt prod_vps_1 cat ` + left + `; ssh prod_vps_1 rm ` + left)
		partOf(t, res.Stdout+res.Stderr, acmeKey)
		if res.Redactions < 4 {
			t.Fatalf("%+v", res)
		}
	})
}

// onServer gives each user, at each level, a way to run scripts with the server.
func onServer(t *testing.T, k known, f func(t *testing.T, ssh func(script string) run.Result)) {
	t.Helper()
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.serviceResources(k)
		h.keep("generic", "other", nil, map[string]string{"value": acmeKey}, policy.Policy{})
		try := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"prod_vps_1"}, Command: []string{"sh", "-c", "ssh prod_vps_1 echo there 2>&1"}, Timeout: time.Minute})
		if os.Getuid() == 0 && try.Isolation == string(policy.LevelBasic) { // a user of its own that no file of the machine names: OpenSSH refuses to start
			if !strings.Contains(try.Stdout, "No user exists") {
				t.Fatalf("%+v", try)
			}
			return
		}
		if try.Stdout != "there\n" {
			t.Fatalf("%+v", try)
		}
		f(t, func(script string) run.Result {
			res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"prod_vps_1"}, Command: []string{"sh", "-c", script}, Timeout: time.Minute})
			if res.State != vault.RunExited || res.Delivered["prod_vps_1"] != "ssh" {
				t.Fatalf("%+v", res)
			}
			return res
		})
	})
}
