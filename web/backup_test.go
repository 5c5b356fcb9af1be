package web_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// Two public keys: the vault's own, and somebody's.
const (
	ownRecipient  = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
	newRecipient  = "age1u45qgwy0rzdgng6xz8hvfev38dqpyrfugturk0r6df7jvuwd09fsztvsn7"
	backedUpBytes = "what a backup is"
)

// copies stands for what writes backups.
type copies struct {
	fails  error
	writes func() // while one is being written
}

func (copies) Recipients(context.Context) (to, left []string, err error) {
	return []string{ownRecipient}, []string{"scrypt"}, nil
}

func (c copies) Write(_ context.Context, w io.Writer, _ []string) (backup.Report, error) {
	_, err := io.WriteString(w, backedUpBytes)
	if c.writes != nil {
		c.writes()
	}
	if err == nil {
		err = c.fails
	}
	return backup.Report{Rows: 7}, err
}

// backup takes one and gives body and trailers.
func (c *client) backup(body string) (string, http.Header) {
	c.t.Helper()
	resp, err := c.http.Post("http://zavhoz/api/v1/backup", "application/json", strings.NewReader(body))
	must(c.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(c.t, err)
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%d %s", resp.StatusCode, b)
	}
	return string(b), resp.Trailer
}

func backing(c copies) func(*web.Options) { return func(o *web.Options) { o.Backup = c } }

// A backup for the vault's own recipients is for anybody of the operator's uid, a timer too; one for somebody else is for a person, and a refusal is on record.
func TestAttack70_ABackupForSomebodyElseNeedsThePerson(t *testing.T) {
	h, _ := guardedHouse(t, backing(copies{}))
	shell, person := h.sit(2), h.sit(1)
	person.ok("POST", "/presence", right)
	for _, own := range []string{`{}`, `{"to":["` + ownRecipient + `"]}`} {
		if body, trailer := shell.backup(own); body != backedUpBytes || trailer.Get(api.BackupProblem) != "" {
			t.Errorf("%s: %q %v", own, body, trailer)
		}
	}
	shell.refused(fault.PresenceRequired, "POST", "/backup", `{"to":["`+newRecipient+`"]}`)
	shell.refused(fault.PresenceRequired, "POST", "/backup", `{"to":["`+ownRecipient+`","`+newRecipient+`"]}`)
	shell.refused(fault.InvalidArgument, "POST", "/backup", `{"to":["hello"]}`)
	shell.refused(fault.PresenceRequired, "POST", "/resources/bot/purge", `{"all":true}`)
	_, trailer := person.backup(`{"to":["` + newRecipient + `"]}`)
	var rep backup.Report
	must(t, json.Unmarshal([]byte(trailer.Get(api.BackupReport)), &rep))
	if rep.Rows != 7 || len(rep.Recipients) != 1 || rep.Recipients[0] != newRecipient || len(rep.LeftOut) != 0 {
		t.Errorf("%+v", rep)
	}
	must(t, h.Vault.Close(ctx)) // what is queued is written
	var page api.Page[audit.Record]
	must(t, json.Unmarshal([]byte(person.ok("GET", "/audit?action=vault.backup", "").body), &page))
	outcomes := map[audit.Outcome]uint64{}
	for _, r := range page.Items {
		outcomes[r.Outcome] += max(1, r.Count)
	}
	if outcomes[audit.Allowed] != 3 || outcomes[audit.Denied] != 2 {
		t.Errorf("on record: %v", outcomes)
	}
}

// A failure in the middle of a backup comes after it, in words of ours, and is on record. Of two at once the second is refused.
func TestABackupThatFailsMidway(t *testing.T) {
	var h *house
	busy := false
	h = newHouse(t, backing(copies{
		fails: fault.New(fault.Busy, "the vault's data key was changed meanwhile", "try again"),
		writes: func() {
			busy = true
			h.sit(3).refused(fault.Busy, "POST", "/backup", `{}`)
		},
	}))
	c := h.sit(1)
	body, trailer := c.backup(`{}`)
	var p api.Problem
	must(t, json.Unmarshal([]byte(trailer.Get(api.BackupProblem)), &p))
	if body != backedUpBytes || p.Code != string(fault.Busy) || p.Next != "try again" || trailer.Get(api.BackupReport) != "" || !busy {
		t.Errorf("%q %+v", body, p)
	}
	must(t, h.Vault.Close(ctx))
	if a := c.ok("GET", "/audit?action=vault.backup&outcome=failed", ""); !strings.Contains(a.body, `"code":"busy"`) {
		t.Errorf("on record: %s", a.body)
	}
}
