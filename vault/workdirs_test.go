//go:build unix

package vault_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

const workdirs store.Collection = "workdirs"

func (h *house) open(path, mode, project string, agents ...string) vault.Workdir {
	h.t.Helper()
	w, err := h.AddWorkdir(ctx, operator, vault.NewWorkdir{Path: path, Mode: vault.WorkdirMode(mode), Project: project, Agents: agents})
	must(h.t, err)
	return w
}

func TestWorkdirs(t *testing.T) {
	h := newHouse(t)
	h.addAgent(vault.NewAgent{Name: "ci"})
	_, err := h.AddProject(ctx, operator, "web", "")
	must(t, err)
	w := h.open("/srv/web", "overlay", "web", "ci", "local", "ci")
	if w.ID[:4] != "wdr_" || w.Format != 1 || w.CreatedBy != "operator" || !w.CreatedAt.Equal(h.clock()) || strings.Join(w.Agents, " ") != "ci local" {
		t.Errorf("made %+v", w)
	}
	h.open("/srv", "ro", "")
	for name, n := range map[string]struct {
		vault.NewWorkdir
		code fault.Code
	}{
		"again":           {vault.NewWorkdir{Path: "/srv/web", Mode: "ro"}, fault.NameTaken},
		"no mode":         {vault.NewWorkdir{Path: "/srv/x"}, fault.InvalidArgument},
		"another mode":    {vault.NewWorkdir{Path: "/srv/x", Mode: "rwx"}, fault.InvalidArgument},
		"no such agent":   {vault.NewWorkdir{Path: "/srv/x", Mode: "ro", Agents: []string{"nobody"}}, fault.UnknownAgent},
		"an agent's id":   {vault.NewWorkdir{Path: "/srv/x", Mode: "ro", Agents: []string{""}}, fault.UnknownAgent},
		"no such project": {vault.NewWorkdir{Path: "/srv/x", Mode: "ro", Project: "nothing"}, fault.UnknownProject},
		"many agents":     {vault.NewWorkdir{Path: "/srv/x", Mode: "ro", Agents: slices.Repeat([]string{"ci"}, 257)}, fault.InvalidArgument},
		"the root":        {vault.NewWorkdir{Path: "/", Mode: "ro"}, fault.InvalidArgument},
		"nothing":         {vault.NewWorkdir{Path: "", Mode: "ro"}, fault.InvalidArgument},
		"relative":        {vault.NewWorkdir{Path: "srv", Mode: "ro"}, fault.InvalidArgument},
		"a way back":      {vault.NewWorkdir{Path: "/srv/../etc", Mode: "ro"}, fault.InvalidArgument},
		"a slash more":    {vault.NewWorkdir{Path: "/srv/x/", Mode: "ro"}, fault.InvalidArgument},
		"two slashes":     {vault.NewWorkdir{Path: "//srv/x", Mode: "ro"}, fault.InvalidArgument},
		"a line end":      {vault.NewWorkdir{Path: "/srv/x\nno", Mode: "ro"}, fault.InvalidArgument},
		"another way":     {vault.NewWorkdir{Path: "/srv/\u202ex", Mode: "ro"}, fault.InvalidArgument},
		"no text":         {vault.NewWorkdir{Path: "/srv/\xff", Mode: "ro"}, fault.InvalidArgument},
		"a zero":          {vault.NewWorkdir{Path: "/srv/\x00", Mode: "ro"}, fault.InvalidArgument},
		"a list":          {vault.NewWorkdir{Path: "/srv/a:b", Mode: "overlay"}, fault.InvalidArgument},
		"too long":        {vault.NewWorkdir{Path: "/" + strings.Repeat("a", 3000), Mode: "ro"}, fault.InvalidArgument},
	} {
		if _, err := h.AddWorkdir(ctx, operator, n.NewWorkdir); fault.CodeOf(err) != n.code {
			t.Errorf("%s: %v, want %s", name, err, n.code)
		}
	}
	all, err := h.reopen().Workdirs(ctx) // the next daemon's, after its check of every record
	must(t, err)
	if len(all) != 2 || all[0].Path != "/srv" || all[1].ID != w.ID {
		t.Errorf("there are %+v", all)
	}
	_, err = h.RemoveWorkdir(ctx, operator, w.ID)
	must(t, err)
	_, err = h.RemoveWorkdir(ctx, operator, "/srv/web")
	wantCode(t, err, fault.UnknownWorkdir)
	_, err = h.RemoveWorkdir(ctx, operator, "/srv")
	must(t, err)
	if all, err := h.Workdirs(ctx); err != nil || all == nil || len(all) != 0 {
		t.Errorf("left: %+v %v", all, err)
	}
	h.recorded(audit.WorkdirAdd, "", "/srv/web")
	h.recorded(audit.WorkdirRemove, "", "/srv")
}

// recorded wants a record of the action with the code, about the path ("" for none). The vault ends with it.
func (h *house) recorded(action audit.Action, code, path string) {
	h.t.Helper()
	must(h.t, h.Vault.Close(ctx)) // what is queued is written
	log, st := h.Audit()
	found := false
	must(h.t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: action, Limit: 100})
		for _, r := range rs {
			found = found || r.Code == code && r.Detail["path"] == path
		}
		return err
	}))
	if !found {
		h.t.Errorf("no record of %s %s %s", action, code, path)
	}
}

func TestWorkdirLimit(t *testing.T) {
	h := newHouse(t)
	for i := range 256 {
		h.open("/srv/"+strings.Repeat("a", i+1), "ro", "")
	}
	_, err := h.AddWorkdir(ctx, operator, vault.NewWorkdir{Path: "/srv/b", Mode: "ro"})
	wantCode(t, err, fault.InvalidArgument)
}

// The innermost directory that is for this run decides; what is for others does not count, neither to open nor to close.
// workdirFor gives the directory that decides on path.
func (h *house) workdirFor(ctx context.Context, actor vault.Actor, project, path string) (vault.Workdir, error) {
	all, err := h.WorkdirsFor(ctx, actor, project, path)
	if err != nil {
		return vault.Workdir{}, err
	}
	return all[0], nil
}

func TestWorkdirsForDecides(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	other, _ := h.addAgent(vault.NewAgent{Name: "other"})
	_, err := h.AddProject(ctx, operator, "web", "")
	must(t, err)
	h.open("/srv/app", "rw", "")
	h.open("/srv/app/keys", "ro", "")
	h.open("/srv/app/build", "overlay", "", "ci")
	h.open("/srv/app/build/out", "rw", "", "ci")
	h.open("/srv/web", "rw", "web")
	h.open("/srv/secret", "ro", "", "other")
	for _, c := range []struct {
		who           vault.Actor
		project, path string
		want          string // "" for a refusal
	}{
		{ci, "", "/srv/app", "/srv/app"},
		{ci, "", "/srv/app/x/y", "/srv/app"},
		{ci, "", "/srv/app/keys", "/srv/app/keys"},
		{ci, "", "/srv/app/keys/deep/er", "/srv/app/keys"},
		{ci, "", "/srv/app/keysmith", "/srv/app"},
		{ci, "", "/srv/app/build/x", "/srv/app/build"},
		{ci, "", "/srv/app/build/out", "/srv/app/build/out"},
		{other, "", "/srv/app/build/out", "/srv/app"},
		{h.local(), "", "/srv/app/build", "/srv/app"},
		{operator, "", "/srv/app/build", "/srv/app/build"},
		{ci, "web", "/srv/web/a", "/srv/web"},
		{ci, "", "/srv/web/a", ""},
		{ci, "default", "/srv/web/a", ""},
		{operator, "default", "/srv/web", ""},
		{other, "", "/srv/secret/x", "/srv/secret"},
		{ci, "", "/srv/secret/x", ""},
		{h.local(), "web", "/srv/secret", ""},
		{ci, "", "/srv/application", ""},
		{ci, "", "/srv", ""},
		{ci, "", "/", ""},
		{ci, "", "", ""},
		{ci, "", "srv/app", ""},
		{ci, "", "/srv/app/../secret", ""},
		{ci, "", "/srv/app/./x", ""},
		{ci, "", "/srv/app/", ""},
		{ci, "", "/srv/app//x", ""},
		{ci, "", "/srv/app/\x00", ""},
		{ci, "", "/SRV/app", ""},
	} {
		w, err := h.workdirFor(ctx, c.who, c.project, c.path)
		if w.Path != c.want || (c.want == "") != (fault.CodeOf(err) == fault.WorkdirRefused) {
			t.Errorf("%s of %s in %q: %q %v", c.path, c.who.Name, c.project, w.Path, err)
		}
	}
	nested, err := h.WorkdirsFor(ctx, ci, "", "/srv/app/x")
	must(t, err)
	got := ""
	for _, w := range nested {
		got += w.Path + " " + string(w.Mode) + "; "
	}
	if got != "/srv/app rw; /srv/app/build overlay; /srv/app/build/out rw; /srv/app/keys ro; " {
		t.Errorf("a run in /srv/app mounts %s", got)
	}
	h.recorded(audit.RunStart, string(fault.WorkdirRefused), "")
}

// A refusal names what the caller may use and nothing of what was asked for, or of what is for others: it is the same for a folder that exists.
func TestAttack65_AWorkdirRefusalTellsNothing(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	h.addAgent(vault.NewAgent{Name: "other"})
	ask := func(path string) string {
		_, err := h.workdirFor(ctx, ci, "", path)
		wantCode(t, err, fault.WorkdirRefused)
		return err.Error()
	}
	none := ask("/etc")
	if strings.Contains(none, "/etc") || none != ask("/no/such-canary") || !strings.Contains(none, "zavhoz workdir add") {
		t.Error(none)
	}
	h.open("/srv/other-canary", "ro", "", "other")
	if again := ask("/srv/other-canary"); again != none {
		t.Errorf("another's folder is told apart: %s", again)
	}
	h.open("/srv/mine", "overlay", "")
	some := ask("/etc/shadow")
	if some != ask("/no/such-canary") || strings.Contains(some, "canary") || strings.Contains(some, "shadow") || !strings.Contains(some, "/srv/mine (overlay)") {
		t.Error(some)
	}
}

// A removed agent's directories are nobody's, and an operator's token or the system opens none for it.
func TestWorkdirsOfWhoIsGone(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	h.open("/srv/app", "rw", "")
	_, err := h.RemoveAgent(ctx, operator, "ci")
	must(t, err)
	_, err = h.workdirFor(ctx, ci, "", "/srv/app")
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.workdirFor(ctx, vault.SystemActor("sync"), "", "/srv/app")
	wantCode(t, err, fault.NotPermitted)
}

// A writer of the database opens more than the operator did.
func TestAttack72_AnEditedWorkdirIsRefused(t *testing.T) {
	for name, edit := range map[string]func(h *house, key string){
		"mode":    func(h *house, key string) { h.replaceIn(workdirs, key, `"ro"`, `"rw"`) },
		"path":    func(h *house, key string) { h.replaceIn(workdirs, key, `"/srv/app"`, `"/srv/key"`) },
		"agents":  func(h *house, key string) { h.replaceIn(workdirs, key, `"local"`, `"other"`) },
		"another": func(h *house, key string) { h.setRow(workdirs, strings.Repeat("0", 64), h.rows(workdirs)[key]) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.open("/srv/app", "ro", "", "local")
			for key := range h.rows(workdirs) {
				edit(h, key)
			}
			_, err := h.workdirFor(ctx, operator, "", "/srv/app")
			wantCode(t, err, fault.RecordTampered)
			h.startFails(fault.RecordTampered)
		})
	}
}
