package run_test

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// yard is three real servers: one to jump through, one behind it, and one that takes the same key as that, but is none of the agent's business.
type yard struct {
	User               string
	Jump, Inner, Other place
}

type place struct {
	Host         string
	Port         int
	Key, HostKey string
}

const yardVar = "ZAVHOZ_TEST_YARD"

// newYard starts them, or is told of them: see servers.
func newYard(t *testing.T) (y yard) {
	t.Helper()
	if told := os.Getenv(yardVar); told != "" {
		if err := json.Unmarshal([]byte(told), &y); err != nil {
			t.Fatal(err)
		}
		return y
	}
	var at [3]place
	var all [3]*sshtest.Server
	for i := range at {
		s := sshtest.Start(t, sshtest.Options{Host: "127.0.0." + strconv.Itoa(i+1)})
		all[i], at[i] = s, place{s.Host, s.Port, string(s.Key), s.HostKey}
		y.User = s.User
	}
	key, err := xssh.ParsePrivateKey(all[1].Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := all[2].Authorize(key.PublicKey()); err != nil {
		t.Fatal(err)
	}
	y.Jump, y.Inner, y.Other = at[0], at[1], at[2]
	told, _ := json.Marshal(y)
	t.Setenv(yardVar, string(told))
	return y
}

// noted is what an engine had recorded, a line each.
type noted struct {
	mu    sync.Mutex
	lines []string
}

func (n *noted) note(_ context.Context, ev audit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, string(ev.Outcome)+" "+ev.Handle+" "+ev.Detail["kind"]+" "+ev.Detail["what"]+" "+ev.Detail["target"])
	return nil
}

func (n *noted) has(line string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lines {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

// jumper runs scripts with all three servers, of which the first two have the policy.
func (y yard) jumper(t *testing.T, p policy.Policy, edit func(*run.Options)) (*noted, func(script string) run.Result) {
	t.Helper()
	n := &noted{}
	h, e := realHouse(t, func(o *run.Options) {
		o.Note = n.note
		if edit != nil {
			edit(o)
		}
	})
	for handle, at := range map[string]place{"prod_vps_1": y.Jump, "inner_vps": y.Inner, "other_vps": y.Other} {
		own := p
		if handle == "other_vps" {
			own = policy.Policy{}
		}
		h.keep("server", handle, map[string]string{"user": y.User, "port": strconv.Itoa(at.Port), "host_key": at.HostKey}, map[string]string{"host": at.Host, "ssh_key": at.Key}, own)
	}
	return n, func(script string) run.Result {
		t.Helper()
		res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"prod_vps_1", "inner_vps", "other_vps"}, Command: []string{"sh", "-c", script}, Timeout: 2 * time.Minute})
		for _, at := range []place{y.Jump, y.Inner, y.Other} {
			for _, line := range strings.Split(at.Key, "\n") {
				if len(line) > 20 && !strings.HasPrefix(line, "-----") && strings.Contains(res.Stdout+res.Stderr, line) {
					t.Fatalf("a key came out: %+v", res)
				}
			}
		}
		if strings.Contains(res.Stdout+res.Stderr, "PRIVATE KEY") {
			t.Fatalf("%+v", res)
		}
		return res
	}
}

// A run's own ssh jumps through a server to the one behind it, whose address it need not know, with keys that it does not hold.
func TestARunJumps(t *testing.T) {
	y := newYard(t)
	eachUser(t, func(t *testing.T) {
		n, do := y.jumper(t, policy.Policy{SSHAgent: true}, nil)
		port := strconv.Itoa(y.Inner.Port)
		where := `'echo "in $((40+2)) at ${SSH_CONNECTION##* }"; exit 3'; echo code=$?`
		for name, script := range map[string]string{
			"alias":   `ssh prod_vps_1+inner_vps ` + where,
			"address": `ssh -J prod_vps_1 -o HostKeyAlias=inner_vps -p ` + port + ` ` + y.User + `@` + y.Inner.Host + ` ` + where,
		} {
			if res := do(script); res.Stdout != "in 42 at "+port+"\ncode=3\n" {
				t.Errorf("%s: %+v", name, res)
			}
		}
		if res := do(`head -c 3000000 /dev/urandom > f; scp -q f prod_vps_1+inner_vps:/tmp/zavhoz-jump-$$ && scp -q prod_vps_1+inner_vps:/tmp/zavhoz-jump-$$ g && cmp f g && echo same; ssh prod_vps_1+inner_vps rm -f /tmp/zavhoz-jump-$$`); res.Stdout != "same\n" {
			t.Errorf("scp: %+v", res)
		}
		if res := do(`ssh inner_vps 'echo "agent=[$SSH_AUTH_SOCK]"'`); res.Stdout != "agent=[]\n" {
			t.Errorf("by its own bastion: %+v", res)
		}
		for _, line := range []string{"allowed prod_vps_1 jump " + port + " inner_vps", "allowed inner_vps sign", "allowed prod_vps_1 jump " + port + " [redacted:inner_vps.host]"} {
			if !n.has(line) {
				t.Errorf("%q is not on record: %q", line, n.lines)
			}
		}
	})
}

// The agent signs a login to its own servers and users, for who is connected to them, and nothing else; it can neither be filled nor emptied.
func TestAttack48_TheAgentOfARun(t *testing.T) {
	y := newYard(t)
	eachUser(t, func(t *testing.T) {
		n, do := y.jumper(t, policy.Policy{SSHAgent: true}, nil)
		loose := `-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null `
		for name, script := range map[string]string{
			"another user":     `ssh -l nobody prod_vps_1+inner_vps id`,
			"another host":     `ssh -J prod_vps_1 ` + loose + `-p ` + strconv.Itoa(y.Other.Port) + ` ` + y.User + `@` + y.Other.Host + ` id`,
			"a forwarded one":  `ssh -A prod_vps_1+inner_vps 'ssh -F none -o BatchMode=yes ` + loose + `-p ` + strconv.Itoa(y.Inner.Port) + ` ` + y.Inner.Host + ` id'`,
			"a file":           `ssh-add -L > k.pub; head -1 k.pub > one.pub; echo text | ssh-keygen -Y sign -n file -f one.pub -`,
			"a certificate":    `ssh-add -L | head -1 > k.pub; ssh-keygen -Us k.pub -I me -n root k.pub`,
			"a key of its own": `ssh-keygen -q -t ed25519 -N '' -f mine && ssh-add mine`,
			"remove all":       `ssh-add -D`,
			"lock":             `printf 'a\na\n' | SSH_ASKPASS=/bin/echo SSH_ASKPASS_REQUIRE=force ssh-add -x`,
		} {
			if res := do(script); res.ExitCode == 0 || strings.Contains(res.Stdout, "uid=") || strings.Contains(res.Stdout, "SIGNATURE") {
				t.Errorf("%s: %+v", name, res)
			}
		}
		if res := do(`ssh-add -D; ssh-add -L | wc -l; ssh-add -L | awk '{print $3}' | sort | tr '\n' ' '; ssh prod_vps_1+inner_vps echo still`); res.Stdout != "2\ninner_vps prod_vps_1 still\n" {
			t.Errorf("%+v", res)
		}
		for _, what := range []string{"agent-unbound", "agent-destination", "agent-forwarding"} {
			if !n.has("denied  denied " + what) {
				t.Errorf("%s is not on record: %q", what, n.lines)
			}
		}
	})
}

// Without the policy, under patterns of commands, and where the walls keep nobody else from the agent's socket, there is no agent and no jump, and the run is told.
func TestAttack49_NoJumpUnasked(t *testing.T) {
	y := newYard(t)
	eachUser(t, func(t *testing.T) {
		jump := `echo "agent=[$SSH_AUTH_SOCK]"; ssh -J prod_vps_1 -p ` + strconv.Itoa(y.Inner.Port) + ` ` + y.User + `@` + y.Inner.Host + ` id`
		for name, c := range map[string]struct {
			policy policy.Policy
			says   string
		}{
			"no policy": {policy.Policy{}, "a person lets runs at the level sealed jump through it: zavhoz resource policy HANDLE --ssh-agent"},
			"patterns":  {policy.Policy{SSHAgent: true, Exec: []string{"uptime"}}, "as this server takes certain commands only"},
		} {
			_, do := y.jumper(t, c.policy, nil)
			if res := do(jump); res.ExitCode == 0 || res.Stdout != "agent=[]\n" || !strings.Contains(res.Stderr, c.says) {
				t.Errorf("%s: %+v", name, res)
			}
		}
		walls, err := sandbox.New(sandbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = walls.Close() })
		n, do := y.jumper(t, policy.Policy{SSHAgent: true}, func(o *run.Options) { o.Sandbox = held{walls, policy.LevelBasic} })
		res := do(jump + `; ssh prod_vps_1 echo plain`)
		if !strings.HasPrefix(res.Stdout, "agent=[]\n") || strings.Contains(res.Stdout, "uid=") {
			t.Errorf("basic: %+v", res)
		}
		if os.Getuid() == 0 {
			return // at basic a run of root's is a user without a name, for whom OpenSSH does nothing
		}
		if !strings.HasSuffix(res.Stdout, "plain\n") || !strings.Contains(res.Stderr, "at the level sealed") || !n.has("denied prod_vps_1 denied direct-tcpip") {
			t.Errorf("basic: %+v %q", res, n.lines)
		}
	})
}

// A jump leads to the ssh of servers and to no other port: not to what listens beside them, nor to a database of the inner network.
func TestAttack49_AJumpIsNoTunnelWithinWalls(t *testing.T) {
	y := newYard(t)
	eachUser(t, func(t *testing.T) {
		addr, heard := ear(t)
		_, do := y.jumper(t, policy.Policy{SSHAgent: true}, nil)
		_, port, _ := strings.Cut(addr, ":")
		res := do(`ssh -W 127.0.0.1:` + port + ` prod_vps_1 </dev/null; (ssh -N -o ExitOnForwardFailure=yes -L 9999:127.0.0.1:` + port + ` prod_vps_1 & p=$!; sleep 1; curl -sS --max-time 3 --noproxy '*' http://127.0.0.1:9999/; kill $p) 2>&1; true`)
		if heard() || !strings.Contains(res.Stderr, "a jump goes to port 22") {
			t.Errorf("%+v", res)
		}
	})
}

// A server whose key is not pinned gives the run no agent that would log in to an impostor: the run is refused.
func TestAJumpNeedsPinnedKeys(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		h, e := realHouse(t, nil)
		h.keep("server", "prod_vps_1", map[string]string{"user": "deploy", "port": "22"}, map[string]string{"host": "127.0.0.1", "ssh_key": "no key"}, policy.Policy{SSHAgent: true})
		if _, err := e.Run(t.Context(), run.Request{Actor: alice, Refs: []string{"prod_vps_1"}, Command: []string{"sh", "-c", "true"}}); fault.CodeOf(err) != fault.HostKeyUnknown {
			t.Errorf("%v", err)
		}
		h.edit("prod_vps_1", func(r *vault.Resource) { r.Sealed = map[string]vault.Sealed{"password": r.Sealed["host"]} })
		if res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"prod_vps_1"}, Command: []string{"sh", "-c", `echo "[$SSH_AUTH_SOCK]"`}}); res.Stdout != "[]\n" {
			t.Errorf("a server with a password only: %+v", res)
		}
	})
}
