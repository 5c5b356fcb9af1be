package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web"
)

const right = `{"passphrase":"` + passphrase + `"}`

// act is a call of the API, with the audit action under which its refusal is recorded.
type act struct {
	method, path, body string
	action             audit.Action
}

// widening are the acts of wall 4: they reveal, approve or widen. SERVER is the discovered one.
var widening = []act{
	{"POST", "/runs/open", `{"refs":["bot"],"command":["env"]}`, audit.RunStart},
	{"POST", "/changes/run_held/keep", "", audit.RunSettle},   // what a model made becomes part of a folder
	{"GET", "/changes/run_guesses/diff", "", audit.RunSettle}, // its masks tell which guesses were right
	{"PATCH", "/projects/other", `{"config":{"modules":["evil"]}}`, audit.ProjectEdit},
	{"POST", "/projects/other/config/secrets", `{"secrets":{"DATABASE_URL":"postgres://evil.example/x"}}`, audit.SecretMerge}, // a poisoned one
	{"POST", "/projects/other/config/secrets", `{"secrets":{"POSTGRES_HOST":"evil.example"}}`, audit.SecretMerge},             // a password that is there would go to it
	{"POST", "/projects/other/config/secrets", `{"secrets":{"POSTGRES_HOST":"evil.example"},"if_absent":true}`, audit.SecretMerge},
	{"POST", "/projects/other/config/secrets", `{"secrets":{"NOBODY_ASKED":"x"}}`, audit.SecretMerge},
	{"POST", "/projects/other/config/secrets", `{"secrets":{"STRIPE_SECRET":"x"},"env_hints":{"DATABASE_URL":"send it to evil.example"}}`, audit.SecretMerge},
	{"POST", "/projects/other/config/secrets/DATABASE_URL/rollback", `{"version":1}`, audit.SecretRollback},
	{"POST", "/projects/other/config/secrets/DATABASE_URL/purge", `{"all":true}`, audit.SecretPurge}, // an earlier value would no longer be masked
	{"POST", "/projects/other/config/secrets", `{"secrets":{"DATABASE_URL":"x"},"purge":true}`, audit.SecretMerge},
	{"DELETE", "/projects/other/config/secrets/DATABASE_URL", "", audit.SecretRemove},
	{"POST", "/approvals/changes:run_held", `{"decision":"approve"}`, audit.ApprovalDecide},
	{"POST", "/agents", `{"name":"mine"}`, audit.AgentAdd},
	{"POST", "/agents", `{"name":"mine2","role":"operator"}`, audit.AgentAdd},
	{"POST", "/resources/bot/rollback", `{"version":1}`, audit.ResourceRollback},
	{"POST", "/servers/SERVER/adopt", `{"handle":"s","attrs":{"user":"deploy"},"secrets":{"password":"` + password + `"}}`, audit.ServerAdopt},
	{"POST", "/servers/SERVER/manage", `{"intent":"yes"}`, audit.ServerManage},
	{"POST", "/servers/SERVER/manage", `{"intent":"auto"}`, audit.ServerManage},
	{"POST", "/servers/vps/reserve", `{"ram_mb":0}`, audit.ServerReserve},
	{"POST", "/servers/vps/reserve", `{"keep":"9000","free":"8080"}`, audit.ServerReserve},
	{"POST", "/reserves", `{"ports":"1-65535"}`, audit.ServerReserve},
	{"POST", "/reserves", `{"reset":true}`, audit.ServerReserve},
	{"POST", "/resources", `{"kind":"generic","handle":"p","secrets":{"value":"` + canary + `"},"policy":{"pins":[{"name":"p","argv":["/bin/true"]}]}}`, audit.ResourceAdd},
	{"POST", "/resources", `{"kind":"generic","handle":"p2","secrets":{"value":"` + canary + `"},"policy":{"agents":["local"]}}`, audit.ResourceAdd},
	{"PUT", "/resources/bot/policy", `{"policy":{"pins":[{"name":"p","argv":["/usr/bin/env"]}]}}`, audit.ResourcePolicy},
	{"PUT", "/resources/bot/policy", `{"policy":{"agents":["local"]}}`, audit.ResourcePolicy}, // who is named gets the true value
	{"PUT", "/resources/bot/policy", `{"policy":{"deliveries":["env"]}}`, audit.ResourcePolicy},
	{"PUT", "/resources/bot/policy", `{"policy":{"hosts":[{"host":"attacker.example"}]}}`, audit.ResourcePolicy},
	{"PUT", "/resources/bot/policy", `{"policy":{"allow_private":true}}`, audit.ResourcePolicy},
	{"PUT", "/resources/vps/policy", `{"policy":{"ssh_agent":true}}`, audit.ResourcePolicy},
	{"PUT", "/resources/vps/policy", `{"policy":{"sftp":true}}`, audit.ResourcePolicy},
	{"PUT", "/resources/bot/policy", `{"policy":{"pass_through":["attacker.example"]}}`, audit.ResourcePolicy},
	{"PUT", "/resources/tight/policy", `{"policy":{}}`, audit.ResourcePolicy},
	{"PATCH", "/resources/vps", `{"attrs":{"user":"root"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/vps", `{"attrs":{"ssh_user":"root"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/vps", `{"attrs":{"port":"2222"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/vps", `{"attrs":{"host_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/vps", `{"secrets":{"host":"attacker.example"}}`, audit.ResourceEdit}, // where a kept password goes
	{"PATCH", "/resources/bot", `{"secrets":{"token":"` + botToken + `"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/gen", `{"attrs":{"env":"OTHER"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/gen", `{"attrs":{"env_more":"OTHER_TOO"}}`, audit.ResourceEdit},
	{"PATCH", "/resources/bot", `{"labels":{"env":"prod"}}`, audit.ResourceEdit}, // grants go by labels
	{"PATCH", "/resources/bot", `{"project":"other"}`, audit.ResourceEdit},       // and by projects
	{"PATCH", "/resources/off", `{"status":"active"}`, audit.ResourceEdit},
	{"POST", "/resources/bot/rename", `{"handle":"bot9"}`, audit.ResourceRename}, // its handle could be taken by another
	{"DELETE", "/resources/gen", "", audit.ResourceRemove},                       // its value would no longer be masked
	{"POST", "/workdirs", `{"path":"/srv/mine","mode":"ro"}`, audit.WorkdirAdd},
	{"POST", "/workdirs", `{"path":"/home/me","mode":"rw","force":true}`, audit.WorkdirAdd},
	{"DELETE", "/workdirs/%2Fsrv%2Fapp%2Fkeys", "", audit.WorkdirRemove}, // read-only within what can be written
	{"POST", "/keys/rotate", `{}`, audit.KeyRotate},
	{"POST", "/keys", `{"recipient":"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"}`, audit.KeyAdd},
	{"POST", "/keys", `{"passphrase":"` + canary + `"}`, audit.KeyAdd},
	{"DELETE", "/keys/spare", "", audit.KeyRemove},
	{"GET", "/keys/header", "", audit.KeyCheck}, // who has it guesses at its passphrases
	{"POST", "/import", `{"on_conflict":"replace"}` + "\n" + `{"kind":"generic","handle":"tight","secrets":{"value":"` + botToken + `"}}`, audit.VaultImport},
	{"POST", "/files/secrets.yaml/accept", `{"absent":4}`, audit.FileAccept}, // leases would end, and what the file lost with them
	{"POST", "/servers/sync?confirm_shrunk=true", "", audit.ServerSync},      // what sync held back for vanished would be gone
	{"PUT", "/presence", `{"passphrase":"another passphrase"}`, audit.PresenceSet},
}

// narrowing are acts that only look, add or take away.
var narrowing = []act{
	{"POST", "/servers/vps/reserve", `{"keep":"8080"}`, ""},
	{"POST", "/reserves", `{"keep":"8081"}`, ""},
	{"GET", "/reserves", "", ""},
	{"GET", "/servers/vps/ports", "", ""},
	{"GET", "/resources", "", ""},
	{"GET", "/resources/bot/history", "", ""},
	{"GET", "/audit", "", ""},
	{"POST", "/audit/verify", "", ""},
	{"POST", "/resources", `{"kind":"generic","handle":"fresh","secrets":{"value":"` + canary + `"},"labels":{"env":"prod"}}`, ""},
	{"POST", "/resources", `{"kind":"generic","handle":"fresh2","secrets":{"value":"` + canary + `"},"policy":{"approval":"always","max_uses":3}}`, ""},
	{"POST", "/import", `{}` + "\n" + `{"kind":"generic","handle":"brought","secrets":{"value":"` + canary + `"}}`, ""},
	{"POST", "/import", `{"on_conflict":"skip"}` + "\n" + `{"kind":"generic","handle":"bot","secrets":{"value":"` + canary + `"}}`, ""},
	{"POST", "/import", `{"on_conflict":"replace","dry_run":true}` + "\n" + `{"kind":"generic","handle":"gen","secrets":{"value":"` + canary + `"}}`, ""},
	{"PATCH", "/resources/bot", `{"attrs":{"username":"@another_bot"},"why":"a name steers nothing"}`, ""},
	{"PATCH", "/resources/vps", `{"attrs":{"user":"deploy"}}`, ""}, // as it is
	{"PATCH", "/resources/off", `{"labels":{"env":""}}`, ""},
	{"PATCH", "/resources/bot", `{"project":"default"}`, ""},
	{"PATCH", "/resources/bot", `{"status":"disabled"}`, ""},
	{"PUT", "/resources/bot/policy", `{"policy":{"approval":"always","min_level":"sealed","max_uses":5,"deliveries":["broker"]}}`, ""},
	{"POST", "/servers/SERVER/manage", `{"intent":"no"}`, ""},
	{"POST", "/projects", `{"slug":"fourth"}`, ""},
	{"DELETE", "/agents/ci", "", ""},
	{"POST", "/servers/sync", "", ""},
	{"POST", "/runs/run_aaaaaaaaaaaaaaaaaaaaaaaaaa/stop", "", ""},
	{"GET", "/approvals", "", ""},
	{"POST", "/approvals/changes:run_held", `{"decision":"deny"}`, ""},
	{"GET", "/workdirs", "", ""},
	{"GET", "/keys", "", ""},
	{"DELETE", "/workdirs/%2Fsrv%2Fdata", "", ""},
	{"POST", "/daemon/stop", "", ""},
}

// guardedHouse has a passphrase, and what the acts act on.
func guardedHouse(t *testing.T, change ...func(*web.Options)) (h *house, server string) {
	h = newHouse(t, change...)
	c := h.sit(100)
	server = h.fill(c)
	spare, err := age.GenerateX25519Identity()
	must(t, err)
	c.ok("POST", "/resources", `{"kind":"generic","handle":"gen","attrs":{"env":"GEN"},"secrets":{"value":"`+canary+`","more":"`+canary+`"}}`)
	c.ok("POST", "/resources", `{"kind":"generic","handle":"off","secrets":{"value":"`+canary+`"},"labels":{"env":"prod"}}`)
	c.ok("PATCH", "/resources/off", `{"status":"disabled"}`)
	c.ok("POST", "/resources", `{"kind":"generic","handle":"tight","secrets":{"value":"`+canary+`"},"policy":{"approval":"always"}}`)
	for _, w := range []string{`"/srv/app","mode":"rw"`, `"/srv/app/keys","mode":"ro"`, `"/srv/data","mode":"rw"`} {
		c.ok("POST", "/workdirs", `{"path":`+w+`}`)
	}
	c.ok("POST", "/keys", `{"recipient":"`+spare.Recipient().String()+`","label":"spare"}`)
	h.setPassphrase(c)
	return h, server
}

// state is all that the API tells, to see that a refused act changed nothing.
func (h *house) state(c *client) string {
	var s strings.Builder
	for _, path := range []string{"/resources", "/agents", "/servers", "/projects", "/workdirs", "/keys", "/leases", "/runs"} {
		s.WriteString(c.ok("GET", path, "").body)
	}
	return s.String()
}

// TestAttack70_TheAgentsShellIsNotThePerson: a program of the same uid, at no terminal or at one where nobody has proven to be present, tries every act
// that reveals, approves or widens. Each is refused, changes nothing and is on record.
func TestAttack70_TheAgentsShellIsNotThePerson(t *testing.T) {
	h, server := guardedHouse(t)
	person := h.sit(1)
	person.ok("POST", "/presence", right)
	before := h.state(person)
	want := map[audit.Action]bool{}
	for _, shell := range []*client{h.sit(nowhere), h.sit(2)} {
		for _, a := range widening {
			got := shell.refused(fault.PresenceRequired, a.method, strings.Replace(a.path, "SERVER", server, 1), a.body)
			if got.status != 403 || got.get("next") == nil {
				t.Errorf("%s %s: %d %s", a.method, a.path, got.status, got.body)
			}
			want[a.action] = true
		}
	}
	if after := h.state(person); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	if h.runs.has("open") {
		t.Error("a plan was made")
	}
	must(t, h.Vault.Close(ctx)) // what is queued is written
	var page struct{ Items []audit.Record }
	must(t, json.Unmarshal([]byte(person.ok("GET", "/audit?outcome=denied&limit=1000", "").body), &page))
	for _, r := range page.Items {
		if r.Code == string(fault.PresenceRequired) && r.Actor.Type == audit.Operator {
			delete(want, r.Action)
		}
	}
	if len(want) > 0 {
		t.Errorf("not on record: %v", want)
	}
}

// TestAttack70_ThePersonMay: the same acts, where the passphrase was given.
func TestAttack70_ThePersonMay(t *testing.T) {
	h, server := guardedHouse(t)
	person := h.sit(1)
	person.ok("POST", "/presence", right)
	for _, a := range widening {
		person.ok(a.method, strings.Replace(a.path, "SERVER", server, 1), a.body)
	}
}

func TestNarrowingNeedsNobody(t *testing.T) {
	h, server := guardedHouse(t)
	shell := h.sit(nowhere)
	for _, a := range narrowing {
		shell.ok(a.method, strings.Replace(a.path, "SERVER", server, 1), a.body)
	}
}

// Without a passphrase nothing is asked.
func TestWithoutPresenceNothingIsAsked(t *testing.T) {
	h := newHouse(t)
	c := h.sit(nowhere)
	h.fill(c)
	c.ok("PUT", "/resources/bot/policy", `{"policy":{"deliveries":["env"]}}`)
	c.ok("POST", "/runs/open", `{"refs":["bot"],"command":["env"]}`)
}

const probe = `{"refs":["bot"],"command":["env"]}`

// A ticket is for one seat, for five minutes, and goes when the passphrase changes.
func TestTickets(t *testing.T) {
	h, _ := guardedHouse(t)
	mine, other := h.sit(1), h.sit(2)
	mine.refused(fault.PresenceRequired, "POST", "/presence", `{"passphrase":"not the passphrase"}`)
	mine.refused(fault.PresenceRequired, "POST", "/runs/open", probe)
	mine.ok("POST", "/presence", right)
	mine.ok("POST", "/runs/open", probe)
	other.refused(fault.PresenceRequired, "POST", "/runs/open", probe)
	h.sit(1).ok("POST", "/runs/open", probe) // another command at the same seat

	h.pass(5*time.Minute - time.Second)
	mine.ok("POST", "/runs/open", probe)
	h.pass(time.Second)
	mine.refused(fault.PresenceRequired, "POST", "/runs/open", probe)

	mine.ok("POST", "/presence", right)
	other.ok("POST", "/presence", right)
	other.ok("PUT", "/presence", `{"passphrase":"another passphrase"}`)
	for _, c := range []*client{mine, other} {
		c.refused(fault.PresenceRequired, "POST", "/runs/open", probe)
		c.refused(fault.PresenceRequired, "POST", "/presence", right)
	}
	mine.ok("POST", "/presence", `{"passphrase":"another passphrase"}`)
	mine.ok("POST", "/runs/open", probe)
}

// Where the system tells of no terminal, a ticket is for the connection that brought the passphrase: one command proves and acts.
func TestWithoutASeatTheConnectionIsIt(t *testing.T) {
	h, _ := guardedHouse(t)
	c := h.sit(nowhere)
	c.refused(fault.PresenceRequired, "POST", "/runs/open", probe)
	c.ok("POST", "/presence", right)
	c.ok("POST", "/runs/open", probe)
	h.sit(nowhere).refused(fault.PresenceRequired, "POST", "/runs/open", probe)
	c.http.CloseIdleConnections()
	c.refused(fault.PresenceRequired, "POST", "/runs/open", probe)
}

// A request that came by no connection that we know proves nothing.
func TestNoPlaceNoTicket(t *testing.T) {
	h, _ := guardedHouse(t)
	if code := direct(h, "POST", "/presence", right); code != 200 {
		t.Error(code)
	}
	if code := direct(h, "POST", "/runs/open", probe); code != 403 {
		t.Error(code)
	}
}

// counting counts the passphrases that are looked at.
type counting struct {
	web.Vault
	checked atomic.Int32
	busy    atomic.Int32
	most    atomic.Int32
}

func (c *counting) CheckPresence(ctx context.Context, a vault.Actor, s secret.Secret) error {
	c.most.Store(max(c.most.Load(), c.busy.Add(1)))
	defer c.busy.Add(-1)
	c.checked.Add(1)
	return c.Vault.CheckPresence(ctx, a, s)
}

// TestAttack70_GuessesAreFew: five wrong passphrases a minute over all seats, also when they come at once; a right one costs nothing.
func TestAttack70_GuessesAreFew(t *testing.T) {
	seen := &counting{}
	h, _ := guardedHouse(t, func(o *web.Options) {
		seen.Vault = o.Vault
		o.Vault = seen
	})
	person := h.sit(1)
	for range 7 {
		person.ok("POST", "/presence", right)
	}
	seen.checked.Store(0)
	shells := []*client{h.sit(nowhere), h.sit(2), h.sit(3)}
	var all sync.WaitGroup
	var limited atomic.Int32
	for i := range 24 {
		all.Go(func() {
			a, err := shells[i%len(shells)].try("POST", "/presence", fmt.Sprintf(`{"passphrase":"guess number %d"}`, i))
			if err != nil {
				t.Error(err)
			} else if a.code() == fault.RateLimited {
				limited.Add(1)
				if a.status != 429 || !strings.Contains(a.body, `"retry_after_s":60`) {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		})
	}
	all.Wait()
	if seen.checked.Load() != 5 || limited.Load() != 19 || seen.most.Load() != 1 {
		t.Errorf("%d looked at, %d turned away, %d at once", seen.checked.Load(), limited.Load(), seen.most.Load())
	}
	shells[0].refused(fault.RateLimited, "POST", "/presence", right) // nobody, until the minute is over
	h.pass(61 * time.Second)
	person.ok("POST", "/presence", right)
}

// Of many who set the first passphrase at once, one does; the others would change it, and that needs a ticket.
func TestTheFirstPassphraseIsSetOnce(t *testing.T) {
	h := newHouse(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	var codes []fault.Code
	for i := range 4 {
		c := h.sit(i + 1)
		all.Go(func() {
			a, err := c.try("PUT", "/presence", fmt.Sprintf(`{"passphrase":"passphrase of number %d"}`, i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			codes = append(codes, a.code())
		})
	}
	all.Wait()
	slices.Sort(codes)
	if !slices.Equal(codes, []fault.Code{"", fault.PresenceRequired, fault.PresenceRequired, fault.PresenceRequired}) {
		t.Error(codes)
	}
}
