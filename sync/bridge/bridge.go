// Package bridge adopts the projects of the earlier system: it reads their table with its key, has the vault seal the values, and, until the last of that system's programs
// is gone, writes there what is changed here.
//
// Promise: looking changes nothing, there or here, and shows names and counts alone. Adopting changes nothing there. While the bridge stands, what changes here of an adopted
// project is written there in the flow of the change, under a lock on the row, and as nothing but what that system itself would have written; what cannot be written then is
// written later, and until then told. What stands there and not here stays. After it is removed nothing of the earlier key is left.
//
// Attacks stopped: an address or a key in an argument (threat-model.md 65): they come as secrets, and are kept sealed; an error of the database that holds what it was given: its
// text is never shown; who is on the way to the database, or answers in its place: off this machine it is encrypted, and its certificate verified; a table's name that is a statement: it is an identifier, and quoted; a row that exhausts (67): configs are bounded.
//
// Limits: that table knows no versions. What its programs write into it after a project was adopted is not taken over: from then on the vault is the home.
package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Times and bounds.
const (
	mirrorTime = 10 * time.Second // for one write, in the flow of a change
	lookTime   = 30 * time.Second // for one look at all of it
	retryEvery = 15 * time.Second
	lookEvery  = 5 * time.Minute // at the whole table, for what others left
	maxRows    = 10_000
)

// DefaultTable is where the earlier system keeps its projects.
const DefaultTable = "projects"

// Options wire a Bridge.
type Options struct {
	Vault  *vault.Vault
	Opener vault.Opener
	Log    *slog.Logger
}

// Bridge is the way between the vault and the earlier system's table.
type Bridge struct {
	o Options

	mu   sync.Mutex
	late map[string]bool // projects that the table does not have as they are
}

// New makes a Bridge.
func New(o Options) *Bridge {
	return &Bridge{o: o, late: map[string]bool{}}
}

var errAway = fault.New(fault.ProviderUnavailable, "the earlier system's database could not be used", "check its address, its rights and the name of the table, then try again")

var errExposed = fault.New(fault.InvalidArgument, "the way to the earlier system's database leaves this machine, and its certificate is not verified: others could read on it, or answer in its place",
	"say sslmode=verify-full in its address, and sslrootcert=FILE where its authority is your own; or forward a port to it (ssh -L); zavhoz_insecure=yes in the address says that the way is safe all the same")

// Adopt looks at the table, and takes its projects unless it is only to look. It keeps the way there, so that changes are written to both.
func (b *Bridge) Adopt(ctx context.Context, actor vault.Actor, in Request) (out Adoption, err error) {
	keys, err := importer.ParseFernetKeys(in.Key.Reveal())
	if err != nil {
		return out, err
	}
	defer keys.Wipe()
	t, err := dial(ctx, in.Database, in.Table)
	if err != nil {
		return out, err
	}
	defer t.close()
	rows, err := t.rows(ctx)
	if err != nil {
		return out, err
	}
	if !in.DryRun && !opens(rows, keys) {
		return out, fault.New(fault.WrongIdentity, "the key opens none of the values in the table", "give the key that the earlier system has (SECRETS_ENCRYPTION_KEY)")
	}
	if !in.DryRun {
		if _, err := b.free(ctx, in.Database, t.name); err != nil {
			return out, err
		}
	}
	out = Adoption{DryRun: in.DryRun, Column: t.column, Projects: make([]Adopted, 0, len(rows))}
	slugs := map[string]bool{}
	for _, r := range rows {
		p, err := b.adopt(ctx, actor, r, keys, in.DryRun)
		if err != nil {
			return out, err
		}
		if in.DryRun && p.Problem == "" && slugs[p.Slug] { // the first of them would be here by then
			p.New, p.Joined, p.Kept, p.Refused, p.Problem = false, false, nil, nil, vault.ErrSlugTaken(p.Slug).Message
		}
		slugs[p.Slug] = slugs[p.Slug] || p.Problem == ""
		out.Projects = append(out.Projects, p)
	}
	if in.DryRun {
		return out, nil
	}
	return out, b.build(ctx, actor, in, t.name)
}

// build keeps the way to the table. Who adopted another one at the same time was first, or comes second: never both.
func (b *Bridge) build(ctx context.Context, actor vault.Actor, in Request, table string) error {
	for {
		was, err := b.free(ctx, in.Database, table)
		if err == nil {
			err = b.o.Vault.PutBridge(ctx, actor, was, table, in.Database, in.Key)
		}
		if fault.CodeOf(err) != fault.VersionConflict {
			return err
		}
	}
}

// free refuses a second table beside the one that changes are written to: that one would lack them from now on, and nobody would be told. It gives the way that is there,
// the zero value for none.
func (b *Bridge) free(ctx context.Context, database secret.Secret, name string) (there vault.Bridge, err error) {
	x, is, err := b.o.Vault.Bridge(ctx)
	if err != nil || !is {
		return x, err
	}
	old, err := b.o.Opener.Open(x.FieldRef("database"), x.Sealed["database"].Value)
	if err != nil {
		return x, err
	}
	defer old.Wipe()
	if x.Table == name && place(old) == place(database) {
		return x, nil
	}
	return x, fault.New(fault.ResourceBusy, "the adoption of another table is under way", "end it first: `zavhoz project adopt --finish`")
}

// opens tells whether a key opens some value, where there are values.
func opens(rows []row, keys importer.FernetKeys) bool {
	locked := false
	for _, r := range rows {
		for _, token := range r.secrets {
			s, err := keys.Open([]byte(token))
			s.Wipe()
			if err == nil {
				return true
			}
			locked = true
		}
	}
	return !locked
}

// adopt takes one row, or tells what would be taken of it.
func (b *Bridge) adopt(ctx context.Context, actor vault.Actor, r row, keys importer.FernetKeys, look bool) (out Adopted, err error) {
	out = Adopted{FormerID: r.id, Slug: r.slug, Secrets: []string{}, Hints: len(r.hints)}
	if r.odd {
		out.Problem = "its config is no object, or longer than 16 MiB"
		return out, nil
	}
	a := vault.Adoption{Former: r.id, Slug: r.slug, Title: r.title, Secrets: map[string]secret.Secret{}, Hints: r.hints, Config: r.other}
	defer func() {
		for _, s := range a.Secrets {
			s.Wipe()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(r.secrets)) {
		value, err := keys.Open([]byte(r.secrets[name]))
		if err != nil {
			out.Unreadable = append(out.Unreadable, name)
			continue
		}
		out.Secrets, a.Secrets[name] = append(out.Secrets, name), value
	}
	var done vault.Adopted
	if look {
		done, err = b.o.Vault.LookAtAdoption(ctx, a)
	} else {
		done, err = b.o.Vault.AdoptProject(ctx, actor, a)
	}
	if err != nil {
		f := fault.Of(err)
		if f.Code != fault.InvalidArgument && f.Code != fault.NameTaken {
			return out, err
		}
		out.Problem = f.Message
		return out, nil
	}
	out.New, out.Joined, out.Refused, out.Kept = done.New, done.Joined, done.Refused, done.Existed
	return out, nil
}

// Finish ends the adoption. It is refused while the table is behind, whichever daemon made the change that it lacks.
func (b *Bridge) Finish(ctx context.Context, actor vault.Actor, force bool) error {
	err := b.look(ctx)
	if late := b.catchUp(ctx); (late > 0 || err != nil) && !force {
		return fault.New(fault.ResourceBusy, "the earlier system's table does not have every change yet", "look whether its database answers; --force ends it all the same")
	}
	return b.o.Vault.RemoveBridge(ctx, actor)
}

// State tells whether an adoption is under way.
func (b *Bridge) State(ctx context.Context) (State, error) {
	x, there, err := b.o.Vault.Bridge(ctx)
	if err != nil || !there {
		return State{}, err
	}
	out := State{Running: true, Since: x.Since, Table: x.Table}
	if ids, theirs, err := b.behind(ctx); err == nil {
		out.Late, out.Theirs = len(ids), theirs
		return out, nil
	}
	all, err := b.o.Vault.AdoptedProjects(ctx)
	out.Late = len(all)
	return out, err
}

// Changed writes a project's secrets to the earlier system's table (vault.Mirror). Without a bridge there is nothing to do.
func (b *Bridge) Changed(ctx context.Context, project string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mirrorTime) // the change is durable: who asked for it may have gone
	defer cancel()
	err := b.write(ctx, project)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		delete(b.late, project)
		return nil
	}
	b.late[project] = true
	b.o.Log.Warn("the earlier system's table is behind", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	return err
}

// Run writes what is behind, until ctx ends. At its start, and now and then, it looks for what another daemon left: that may have ended between a change and its writing there.
func (b *Bridge) Run(ctx context.Context) {
	var looked time.Time
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		if time.Since(looked) >= lookEvery && b.look(ctx) == nil { // locked, or the table is away: again later
			looked = time.Now()
		}
		b.catchUp(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *Bridge) catchUp(ctx context.Context) (late int) {
	b.mu.Lock()
	waiting := slices.Collect(maps.Keys(b.late))
	b.mu.Unlock()
	for _, id := range waiting {
		if ctx.Err() != nil || b.Changed(ctx, id) != nil {
			late++
		}
	}
	return late
}

// across opens the way to the table, for f. Without a bridge it does nothing.
func (b *Bridge) across(ctx context.Context, f func(*table, importer.FernetKeys) error) error {
	x, there, err := b.o.Vault.Bridge(ctx)
	if err != nil || !there {
		return err
	}
	database, err := b.o.Opener.Open(x.FieldRef("database"), x.Sealed["database"].Value)
	if err != nil {
		return err
	}
	defer database.Wipe()
	key, err := b.o.Opener.Open(x.FieldRef("key"), x.Sealed["key"].Value)
	if err != nil {
		return err
	}
	defer key.Wipe()
	keys, err := importer.ParseFernetKeys(key.Reveal())
	if err != nil {
		return err
	}
	defer keys.Wipe()
	t, err := dial(ctx, database, x.Table)
	if err != nil {
		return err
	}
	defer t.close()
	return f(t, keys)
}

// write brings one row in step with the vault.
func (b *Bridge) write(ctx context.Context, project string) error {
	return b.across(ctx, func(t *table, keys importer.FernetKeys) error {
		p, err := b.o.Vault.Project(ctx, vault.SystemActor("bridge"), project)
		if err != nil {
			return err
		}
		return t.change(ctx, p.Former, func(there map[string]string) error {
			// The vault is read under the row's lock: of two that write at once the second has both changes.
			_, sealed, err := b.o.Vault.SealedProjectSecrets(ctx, vault.SystemActor("bridge"), project, nil)
			if err != nil {
				return err
			}
			_, err = b.overlay(there, sealed, keys)
			return err
		})
	})
}

// overlay puts values that differ into what the row has. What is there and not here stays: its programs may need it to their end. So does what they wrote after the value here was given, a token that
// they renewed, say: theirs counts there, and ours here, until somebody changes it here again. A token of ours bears the time of its value, which goes one way whichever daemon gave it, so that what is later is not ours.
// What claims to come from the future, by a clock that is ahead, does not count: a change here reaches the table at once.
func (b *Bridge) overlay(there map[string]string, sealed map[string]vault.SealedSecret, keys importer.FernetKeys) (theirs int, err error) {
	for name, s := range sealed {
		value, err := b.o.Opener.Open(s.Ref, s.Sealed)
		if err != nil {
			return theirs, err
		}
		token := []byte(there[name])
		old, err := keys.Open(token)
		switch {
		case err == nil && old.Equal(value):
		case err == nil && later(importer.FernetTime(token), s.Known.UpdatedAt):
			theirs++
		default:
			there[name], err = keys.Seal(value, s.Known.UpdatedAt)
		}
		old.Wipe()
		value.Wipe()
		if err != nil {
			return theirs, err
		}
	}
	return theirs, nil
}

// later tells whether a token was made after a value was given, and not in the future.
func later(token, value time.Time) bool {
	return token.Unix() > value.Unix() && !token.After(time.Now())
}

// identifier tells whether a text names a table, with its schema or without.
func identifier(name string) (pgx.Identifier, bool) {
	parts := strings.Split(name, ".")
	for _, p := range parts {
		odd := func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }
		if p == "" || len(p) > 63 || strings.ContainsFunc(p, odd) {
			return nil, false
		}
	}
	return pgx.Identifier(parts), len(parts) <= 2
}

// row is a project of the earlier system.
type row struct {
	id, slug, title string
	secrets         map[string]string // Fernet tokens
	hints           map[string]string
	other           map[string]json.RawMessage
	odd             bool // its config is too long, or no object
}

// parse takes a config apart; what is in it is somebody else's.
func (r *row) parse(config []byte) error {
	all := map[string]json.RawMessage{}
	if len(config) > 0 && json.Unmarshal(config, &all) != nil {
		return errors.New("bridge: a config is no object")
	}
	r.secrets, r.hints, r.other = map[string]string{}, map[string]string{}, all
	for key, into := range map[string]map[string]string{"secrets": r.secrets, "env_hints": r.hints} {
		var texts map[string]any
		_ = json.Unmarshal(all[key], &texts)
		for name, v := range texts {
			if s, ok := v.(string); ok {
				into[name] = s
			}
		}
		delete(all, key)
	}
	return nil
}
