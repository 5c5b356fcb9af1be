package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// WorkdirMode is what a run may do in a working directory.
type WorkdirMode string

// The modes of a working directory, frozen.
const (
	WorkdirRead    WorkdirMode = "ro"      // read
	WorkdirWrite   WorkdirMode = "rw"      // write in place: what a person runs there later may have been changed by a model
	WorkdirOverlay WorkdirMode = "overlay" // write beside: the changes are kept or thrown away after the run
)

// Workdir is a folder of this machine that the operator opened to runs; all else of the machine's files they see as a read-only system or not at all.
type Workdir struct {
	Format    int         `json:"format"` // 1
	ID        string      `json:"id"`     // wdr_…
	Path      string      `json:"path"`   // absolute, clean, without symbolic links when it was added; unique
	Mode      WorkdirMode `json:"mode"`
	Agents    []string    `json:"agents,omitempty"`  // names; empty: every agent
	Project   string      `json:"project,omitempty"` // slug: only for runs of this project; "": for all
	CreatedAt time.Time   `json:"created_at"`
	CreatedBy string      `json:"created_by"`
}

// NewWorkdir is what AddWorkdir takes.
type NewWorkdir struct {
	Path    string
	Mode    WorkdirMode
	Agents  []string
	Project string
}

// Limits of working directories.
const (
	maxWorkdirs      = 256
	maxWorkdirPath   = 3000 // bytes: room below it within PATH_MAX
	maxWorkdirAgents = 256
	maxWorkdirsNamed = 8 // in a refusal's next step
)

// CheckWorkdirPath refuses what is not an absolute path in its one spelling, or is the root of the file system. It looks at the text alone: what is there is
// for who knows this machine's files.
func CheckWorkdirPath(path string) error {
	if path == "" || len(path) > maxWorkdirPath || !filepath.IsAbs(path) || filepath.Clean(path) != path || !utf8.ValidString(path) || strings.ContainsFunc(path, unprintable) {
		return fault.New(fault.InvalidArgument, "a working directory is an absolute path of printable characters, without `.`, `..` or a slash at its end", "`realpath FOLDER` tells it")
	}
	if filepath.Dir(path) == path {
		return fault.New(fault.InvalidArgument, "the root of the file system is no working directory: it holds everything", "name the folder that the work is in")
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Holds tells whether path is the directory itself or lies below it, by whole names: /srv/app does not hold /srv/application.
func (w Workdir) Holds(path string) bool {
	return path == w.Path || strings.HasPrefix(path, strings.TrimSuffix(w.Path, string(filepath.Separator))+string(filepath.Separator))
}

// workdirKey is the key of a path's row: paths are longer than keys may be.
func workdirKey(path string) string {
	h := sha256.Sum256([]byte(path))
	return hex.EncodeToString(h[:])
}

// AddWorkdir opens a folder to runs. The caller has made sure that it is a folder, that its path leads over no symbolic link, and that nothing lies in it that no run
// may see. Errors: invalid_argument, unknown_agent, unknown_project, name_taken.
func (v *Vault) AddWorkdir(ctx context.Context, actor Actor, n NewWorkdir) (w Workdir, err error) {
	if err := CheckWorkdirPath(n.Path); err != nil {
		return w, err
	}
	if n.Mode != WorkdirRead && n.Mode != WorkdirWrite && n.Mode != WorkdirOverlay {
		return w, fault.New(fault.InvalidArgument, "a working directory's mode is ro, rw or overlay", "overlay lets a command write without touching the folder until the changes are kept")
	}
	if n.Mode == WorkdirOverlay && strings.ContainsAny(n.Path, `,:\`) {
		return w, fault.New(fault.InvalidArgument, "an overlay's path has no `,`, `:` or `\\`: the kernel takes its paths as a list", "open it as ro or rw, or under another name")
	}
	if len(n.Agents) > maxWorkdirAgents {
		return w, fault.New(fault.InvalidArgument, "too many agents are named", "name none for every agent")
	}
	w = Workdir{
		Format: 1, ID: id.New(id.Workdir), Path: n.Path, Mode: n.Mode, Agents: slices.Compact(slices.Sorted(slices.Values(n.Agents))), Project: n.Project,
		CreatedAt: v.now(), CreatedBy: actor.Name,
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if err := v.workdirFits(tx, w); err != nil {
			return err
		}
		if err := v.workdirs.Put(tx, workdirKey(w.Path), w); err != nil {
			return err
		}
		return v.audit.Append(tx, workdirEvent(actor, audit.WorkdirAdd, w))
	})
	return w, err
}

// workdirFits tells whether w may stand beside what is there.
func (v *Vault) workdirFits(tx store.Tx, w Workdir) error {
	for _, name := range w.Agents {
		if _, err := v.agentByName(tx, name); err != nil {
			return err
		}
	}
	if w.Project != "" {
		if err := v.projectExists(tx, w.Project); err != nil {
			return err
		}
	}
	all, err := v.allWorkdirs(tx)
	if err != nil {
		return err
	}
	if len(all) >= maxWorkdirs {
		return fault.Newf(fault.InvalidArgument, "there are %d working directories already", len(all)).WithNext("remove some: `zavhoz workdir list`")
	}
	if slices.ContainsFunc(all, func(old Workdir) bool { return old.Path == w.Path }) {
		return fault.New(fault.NameTaken, "the folder is a working directory already", "take it away first: `zavhoz workdir rm PATH`")
	}
	return nil
}

func workdirEvent(actor Actor, action audit.Action, w Workdir) audit.Event {
	detail := map[string]string{"path": clip(w.Path, 200), "mode": string(w.Mode)}
	if len(w.Agents) > 0 {
		detail["agents"] = clip(joinNames(w.Agents), 200)
	}
	if w.Project != "" {
		detail["project"] = w.Project
	}
	return audit.Event{Actor: actor, Action: action, Outcome: audit.Allowed, Subject: w.ID, Detail: detail}
}

// RemoveWorkdir closes a folder again, by path or id; runs under way keep it. Errors: unknown_workdir.
func (v *Vault) RemoveWorkdir(ctx context.Context, actor Actor, ref string) (w Workdir, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if w, err = v.workdirBy(tx, ref); err != nil {
			return err
		}
		if err := v.workdirs.Delete(tx, workdirKey(w.Path)); err != nil {
			return err
		}
		return v.audit.Append(tx, workdirEvent(actor, audit.WorkdirRemove, w))
	})
	return w, err
}

func (v *Vault) workdirBy(tx store.Tx, ref string) (Workdir, error) {
	all, err := v.allWorkdirs(tx)
	if err != nil {
		return Workdir{}, err
	}
	if i := slices.IndexFunc(all, func(w Workdir) bool { return w.Path == ref || w.ID == ref }); i >= 0 {
		return all[i], nil
	}
	return Workdir{}, fault.New(fault.UnknownWorkdir, "there is no such working directory", "`zavhoz workdir list` shows them")
}

// Workdirs gives every working directory in order of path: an outer one comes before those in it.
func (v *Vault) Workdirs(ctx context.Context) (out []Workdir, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out, err = v.allWorkdirs(tx)
		return err
	})
	return out, err
}

func (v *Vault) allWorkdirs(tx store.Tx) ([]Workdir, error) {
	out := []Workdir{}
	err := v.workdirs.Scan(tx, "", "", func(key string, w Workdir) (bool, error) {
		if key != workdirKey(w.Path) {
			return false, fault.New(fault.RecordTampered, "a working directory's row is not under its path", "run `zavhoz doctor`; restore from a backup")
		}
		out = append(out, w)
		return true, nil
	})
	slices.SortFunc(out, func(a, b Workdir) int { return cmp.Compare(a.Path, b.Path) })
	return out, err
}

// WorkdirsFor finds what opens path to a run of the actor's in a project ("" for none): first the directory that decides on it, the innermost of those that are for this
// actor and hold the path, then those of the actor's that are nested in it, outer ones first. Each must be mounted with its own mode over the one before: a read-only
// folder within a writable one would else be writable. Nothing of the machine's files is looked at, so the refusal is the same for a folder that exists and one that
// does not. Errors: workdir_refused.
func (v *Vault) WorkdirsFor(ctx context.Context, actor Actor, project, path string) (out []Workdir, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		mine, err := v.workdirsOf(tx, actor, project)
		if err != nil {
			return err
		}
		if out = around(mine, path); out == nil {
			return noWorkdir(mine)
		}
		return nil
	})
	if fault.CodeOf(err) == fault.WorkdirRefused {
		err = v.deny(ctx, actor, audit.RunStart, "", "", err)
	}
	return out, err
}

// workdirsOf gives the directories that are for a run of the actor's in a project; those of a person are all.
func (v *Vault) workdirsOf(tx store.Tx, actor Actor, project string) ([]Workdir, error) {
	name := ""
	if actor.Type != audit.Operator {
		a, err := v.agentOf(tx, actor)
		if err != nil {
			return nil, err
		}
		name = a.Name
	}
	all, err := v.allWorkdirs(tx)
	return slices.DeleteFunc(all, func(w Workdir) bool {
		return name != "" && len(w.Agents) > 0 && !slices.Contains(w.Agents, name) || w.Project != "" && w.Project != project
	}), err
}

// around gives the innermost of ws that holds path, then what is nested in it; nil where none does. ws is in order of path.
func around(ws []Workdir, path string) (out []Workdir) {
	if CheckWorkdirPath(path) != nil { // a spelling with ".." could leave what it seems to be in
		return nil
	}
	best := -1
	for i, w := range ws {
		if w.Holds(path) && (best < 0 || len(w.Path) > len(ws[best].Path)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	for _, w := range ws {
		if ws[best].Holds(w.Path) {
			out = append(out, w)
		}
	}
	return out
}

// noWorkdir refuses a folder, and says which ones would do. It says nothing of the one that was asked for.
func noWorkdir(mine []Workdir) error {
	ask := "ask the operator to open it: `zavhoz workdir add PATH --mode ro|rw|overlay`"
	if len(mine) == 0 {
		return fault.New(fault.WorkdirRefused, "the operator has opened no folder to your runs", "run it without a folder (it gets an empty one of its own), or "+ask)
	}
	names := make([]string, 0, maxWorkdirsNamed)
	for _, w := range mine[:min(len(mine), maxWorkdirsNamed)] {
		names = append(names, w.Path+" ("+string(w.Mode)+")")
	}
	return fault.New(fault.WorkdirRefused, "the folder is not one that the operator opened to your runs", "use a folder in "+strings.Join(names, ", ")+"; or "+ask)
}
