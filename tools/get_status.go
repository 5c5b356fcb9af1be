package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

var _ = register(getStatus)

type statusIn struct{}

// leaseOut is one of the caller's own leases.
type leaseOut struct {
	LeaseID   string `json:"lease_id"`
	Handle    string `json:"handle"`
	Purpose   string `json:"purpose"`
	Context   string `json:"context"`
	ExpiresAt string `json:"expires_at"`
}

// fileOut is a home of resources that is not in force as it is now: what it held before is.
type fileOut struct {
	Name  string `json:"name"`
	Code  string `json:"code"`
	Since string `json:"since"`
}

// troubled gives those of the files that are not in force.
func troubled(d Deps) []fileOut {
	out := []fileOut{}
	if d.Files == nil {
		return out
	}
	for _, f := range d.Files() {
		if !f.OK && len(out) < statusList {
			out = append(out, fileOut{Name: f.Name, Code: f.Code, Since: f.Since.UTC().Format(time.RFC3339)})
		}
	}
	return out
}

// runBrief is one of the caller's own runs in progress.
type runBrief struct {
	RunID     string `json:"run_id"`
	StartedAt string `json:"started_at"`
}

// approvalOut is one of the caller's own calls that a person approves. What they are shown of it stays with them.
type approvalOut struct {
	ApprovalID string   `json:"approval_id"`
	State      string   `json:"state"`
	Handles    []string `json:"handles"`
	ExpiresAt  string   `json:"expires_at"`
}

type statusOut struct {
	Agent     string     `json:"agent"`
	Locked    bool       `json:"locked"`
	Isolation string     `json:"isolation"`
	Lost      []string   `json:"isolation_lost"`
	Commands  []string   `json:"commands"`
	Presence  bool       `json:"operator_presence"`
	SyncAgeS  *int64     `json:"sync_age_s"`
	SyncOK    bool       `json:"sync_ok"`
	Files     []fileOut  `json:"secret_files"`
	Leases    []leaseOut `json:"leases"`
	Runs      []runBrief `json:"runs"`

	Approvals []approvalOut `json:"approvals"`
}

// statusList bounds the lists of a status.
const statusList = 25

func getStatus(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "get_status",
		Title: "Get status",
		Description: "Tells who you are here, which sorts of command run, the isolation they get and what is lost of it, how old the provider's data is, your own live leases and runs, and which of your calls wait for a person, are approved (make the same call again) or were denied. " +
			"Call it when something is refused and you do not know why. Example: {}",
		Input: schema(``),
		Output: schema(`"agent":{"type":"string"},"locked":{"type":"boolean"},"isolation":{"type":"string"},"isolation_lost":{"type":"array","items":{"type":"string"}},"commands":{"type":"array","items":{"type":"string"}},"operator_presence":{"type":"boolean"},`+
			`"sync_age_s":{"type":["integer","null"]},"sync_ok":{"type":"boolean"},`+
			`"secret_files":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"code":{"type":"string"},"since":{"type":"string"}},"required":["name","code","since"],"additionalProperties":false}},`+
			`"leases":{"type":"array","items":{"type":"object","properties":{"lease_id":{"type":"string"},"handle":{"type":"string"},"purpose":{"type":"string"},"context":{"type":"string"},"expires_at":{"type":"string"}},"required":["lease_id","handle","purpose","context","expires_at"],"additionalProperties":false}},`+
			`"runs":{"type":"array","items":{"type":"object","properties":{"run_id":{"type":"string"},"started_at":{"type":"string"}},"required":["run_id","started_at"],"additionalProperties":false}},`+
			`"approvals":{"type":"array","items":{"type":"object","properties":{"approval_id":{"type":"string"},"state":{"type":"string","enum":["waiting","approved","denied"]},"handles":{"type":"array","items":{"type":"string"}},"expires_at":{"type":"string"}},"required":["approval_id","state","handles","expires_at"],"additionalProperties":false}}`,
			"agent", "locked", "isolation", "isolation_lost", "commands", "operator_presence", "sync_age_s", "sync_ok", "secret_files", "leases", "runs", "approvals"),
		Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true},
		Locked:      true,
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			if _, err := input[statusIn](c); err != nil {
				return mcp.Result{}, err
			}
			if d.Locked != nil && d.Locked() {
				return lockedStatus(ctx, d, c.Caller.Agent), nil
			}
			if c.Caller.AgentID == "" { // unlocked at this moment: the next call is somebody's
				return mcp.Result{}, vault.ErrLocked()
			}
			return status(ctx, d, actor(c, ""))
		},
	}
}

// lockedStatus is all that a locked vault tells: that it is, and what runs would get. Nothing of it is on record, for nothing of it is the vault's.
func lockedStatus(ctx context.Context, d Deps, name string) mcp.Result {
	out := statusOut{Agent: name, Locked: true, Lost: []string{}, Files: []fileOut{}, Leases: []leaseOut{}, Runs: []runBrief{}, Approvals: []approvalOut{}, Commands: []string{}}
	out.isolated(d.Isolation(ctx))
	out.Commands = []string{}
	return mcp.Result{Text: "The vault is locked: every other tool is refused until a person unlocks it (`zavhoz unlock`). Ask for that; it needs no new session.", Structured: out}
}

func status(ctx context.Context, d Deps, who vault.Actor) (mcp.Result, error) {
	out := statusOut{
		Agent: who.Name, Lost: []string{}, Files: troubled(d), Leases: []leaseOut{}, Runs: []runBrief{}, Approvals: []approvalOut{},
		Commands: []string{`["ssh", HANDLE, COMMAND…]`, "pinned commands (see list_resources)"},
	}
	lost := out.isolated(d.Isolation(ctx))
	info, err := d.Sync(ctx)
	if err != nil {
		return mcp.Result{}, err
	}
	out.SyncAgeS, out.SyncOK = info.AgeS, info.Configured && !info.Failing
	if out.Presence, err = d.Presence(ctx); err != nil {
		return mcp.Result{}, err
	}
	leases, err := d.Vault.Leases(ctx, who)
	if err != nil {
		return mcp.Result{}, err
	}
	slices.SortFunc(leases, func(a, b vault.Lease) int {
		return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.Handle, b.Handle), cmp.Compare(a.ID, b.ID))
	})
	for _, l := range leases[:min(len(leases), statusList)] {
		out.Leases = append(out.Leases, leaseOut{LeaseID: l.ID, Handle: l.Handle, Purpose: l.Purpose, Context: l.Context, ExpiresAt: l.ExpiresAt.UTC().Format(time.RFC3339)})
	}
	runs, err := d.Vault.Runs(ctx, who)
	if err != nil {
		return mcp.Result{}, err
	}
	slices.SortFunc(runs, func(a, b vault.Run) int { return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID)) })
	for _, r := range runs[:min(len(runs), statusList)] {
		out.Runs = append(out.Runs, runBrief{RunID: r.ID, StartedAt: r.StartedAt.UTC().Format(time.RFC3339)})
	}
	asked, err := d.Vault.Approvals(ctx, who, nil)
	if err != nil {
		return mcp.Result{}, err
	}
	for _, a := range asked[:min(len(asked), statusList)] {
		x := approvalOut{ApprovalID: a.ID, State: string(a.State), Handles: []string{}, ExpiresAt: a.ExpiresAt.UTC().Format(time.RFC3339)}
		for _, u := range a.Uses {
			x.Handles = append(x.Handles, u.Handle)
		}
		out.Approvals = append(out.Approvals, x)
	}
	text := fmt.Sprintf("You are %s: %s, %s in progress. Isolation: %s%s.", out.Agent, plural(len(leases), "lease"), plural(len(runs), "run"), out.Isolation, lost)
	if max(len(leases), len(runs)) > statusList {
		text += fmt.Sprintf(" The first %d of each are listed.", statusList)
	}
	if n := len(asked); n > 0 {
		text += fmt.Sprintf(" %s asked of a person: see approvals.", plural(n, "call"))
	}
	for _, f := range out.Files {
		text += fmt.Sprintf(" %s is not in force since %s (%s): what it held before is.", f.Name, f.Since, f.Code)
	}
	return mcp.Result{Text: text, Structured: out}, d.Vault.Note(ctx, audit.Event{Actor: who, Action: audit.StatusRead, Outcome: audit.Allowed})
}

// isolated says what isolation runs get, and gives what is lost of it for the one line of text. How to get it is the operator's affair: zavhoz doctor.
func (out *statusOut) isolated(i api.Isolation) string {
	out.Isolation = i.Level
	if policy.Level(i.Level).Meets(policy.LevelProxied) {
		out.Commands = append(out.Commands, "any command of yours (what is secret reaches it as a stand-in)")
	}
	var names []string
	for _, f := range i.Features {
		if !f.OK {
			out.Lost, names = append(out.Lost, f.Name+": "+f.Lost), append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (lost: " + strings.Join(names, ", ") + ")"
}
