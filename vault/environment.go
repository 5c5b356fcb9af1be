package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// Bounds of environments.
const (
	MaxEnvironments = 64 // definitions of one project
	maxSupplied     = 64

	maxAgentEnvironments = 32 // of those, what agents may make: a person always has room
	maxAgentGenerated    = 32 // secrets that a project has generated, when an agent has one more made
)

// Environment is what a resource of kind environment was resolved from. It is kept under its project and digest, and never changes.
type Environment struct {
	Format      int                `json:"format"`   // 1
	Resource    string             `json:"resource"` // res_…
	Project     string             `json:"project"`  // prj_…
	Digest      string             `json:"digest"`
	Environment string             `json:"environment"` // of the contract: "production"
	Contract    *contract.Contract `json:"contract,omitempty"`
	Names       []string           `json:"names,omitempty"` // without a contract
	Supplied    map[string]string  `json:"supplied,omitempty"`
	CreatedAt   time.Time          `json:"created_at"`
	CreatedBy   string             `json:"created_by"`
}

// EnvironmentRequest asks for an environment. Give a contract or names.
type EnvironmentRequest struct {
	Project     string // slug or id
	Contract    *contract.Contract
	Names       []string
	Environment string            // of the contract; "": production
	Supplied    map[string]string // literals that hold in the place of the contract's: nothing secret
	DryRun      bool              // tell only: make and keep nothing
	// Confirmed says that a person at the operator's own socket is there. Where one disabled or removed an environment of the project, nobody else makes another.
	Confirmed bool
}

// ResolvedEnvironment is what a resolution came to. It holds no secret.
type ResolvedEnvironment struct {
	Project   Project
	Outcome   variable.Outcome
	Variables []variable.Resolved // in order of names
	Generated []string            // what was made and kept just now
	Resource  Resource            // zero where there is none: nothing was kept
}

// Missing gives what a person has to give.
func (e ResolvedEnvironment) Missing() []variable.Resolved {
	return slices.DeleteFunc(slices.Clone(e.Variables), func(r variable.Resolved) bool { return r.State != variable.Missing })
}

// ResolveEnvironment says of every variable what it is and whether it is there, makes the secrets that are the project's own to make and keeps them, in one transaction
// with their record, and gives the environment as a resource for runs. Of many that resolve at once one makes a secret, and all see the same. An agent that may read
// of the project may, where its grants cover environments: it gets no value, and names nothing but what zavhoz makes up itself. A new definition has the strictest of what the
// project's environments are allowed; see allowedTo.
// Errors: invalid_argument, unknown_project, not_permitted, secret_invalid (a supplied value that looks like a secret), resource_disabled, resource_exhausted, too_large.
func (v *Vault) ResolveEnvironment(ctx context.Context, actor Actor, q EnvironmentRequest) (out ResolvedEnvironment, err error) {
	d, err := q.definition()
	if err != nil {
		return out, err
	}
	x := resolving{v: v, actor: actor, q: q, def: d}
	err = v.view(ctx, func(tx store.Tx) error { return x.look(tx) })
	if err == nil && !q.DryRun && x.lacks() {
		err = v.update(ctx, x.run)
	}
	if err != nil {
		return out, v.refused(ctx, actor, audit.EnvResolve, err)
	}
	if actor.Type == audit.Agent && !x.wrote {
		return x.out, v.Note(ctx, projectEvent(actor, audit.EnvResolve, x.out.Project, map[string]string{"outcome": string(x.out.Outcome)}))
	}
	return x.out, nil
}

// definition checks the request, whoever made it.
func (q EnvironmentRequest) definition() (d variable.Definition, err error) {
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.InvalidArgument, format, args...).With("outcome", string(variable.Invalid))
	}
	d = variable.Definition{Contract: q.Contract, Environment: cmp.Or(q.Environment, contract.Production), Supplied: q.Supplied}
	known := map[string]bool{}
	switch {
	case (q.Contract == nil) == (len(q.Names) == 0):
		return d, bad("an environment is resolved by a contract, or by names")
	case len(q.Names) > contract.MaxEntries || len(q.Supplied) > maxSupplied:
		return d, bad("at most %d names and %d values of one's own", contract.MaxEntries, maxSupplied)
	case q.Contract != nil:
		for _, name := range q.Contract.For(d.Environment).Names() {
			known[name] = true
		}
		if len(known) == 0 {
			return d, bad("the contract declares nothing for the environment")
		}
	}
	for _, name := range q.Names {
		if why := contract.CheckName(name); why != "" {
			return d, bad("%s", why)
		}
		known[name] = true
	}
	d.Names = slices.Sorted(maps.Keys(known))
	for _, name := range slices.Sorted(maps.Keys(q.Supplied)) {
		value := q.Supplied[name]
		if !known[name] {
			return d, bad("a value was given for a variable that is not declared")
		}
		if len(value) > contract.MaxValue || strings.ContainsRune(value, 0) {
			return d, bad("a value of %s is too long, or holds a zero byte", name)
		}
		if what, yes := kind.LooksSecret(value); yes {
			return d, fault.New(fault.SecretInvalid, "the value given for "+name+" holds "+what+", and nothing of it is sealed", "a person gives it: zavhoz project secret set").With("field", name)
		}
	}
	if q.Contract != nil {
		d.Names = nil
	}
	return d, nil
}

// resolving is one resolution under way.
type resolving struct {
	v     *Vault
	actor Actor
	q     EnvironmentRequest
	def   variable.Definition
	out   ResolvedEnvironment
	wrote bool
}

// look resolves as things are.
func (x *resolving) look(tx store.Tx) error {
	p, err := x.v.projectFor(tx, x.actor, x.q.Project, ScopeRead)
	if err != nil {
		return err
	}
	if err := x.v.mayEnvironments(tx, x.actor, p); err != nil {
		return err
	}
	c, err := x.v.configOf(tx, p)
	if err != nil {
		return err
	}
	f, err := x.v.factsOf(tx, x.actor, p, c, x.def)
	if err != nil {
		return err
	}
	x.out = ResolvedEnvironment{Project: p, Variables: variable.Plan(x.def, f)}
	x.out.Outcome = variable.OutcomeOf(x.out.Variables)
	e, err := x.v.environments.Get(tx, environmentKey(p.ID, digestOf(p.ID, x.def)))
	if err == nil {
		x.out.Resource, err = x.v.resources.Get(tx, e.Resource)
	}
	return errors.Join(ignoreNotFound(err), x.mayHave(tx))
}

// lacks tells whether anything is to be made: of what cannot be resolved nothing is.
func (x *resolving) lacks() bool {
	pending := slices.ContainsFunc(x.out.Variables, func(r variable.Resolved) bool { return r.State == variable.Pending })
	return x.out.Outcome != variable.Broken && (pending || x.out.Resource.ID == "")
}

// run is the transaction. It may be run more than once: what it leaves is set anew each time.
func (x *resolving) run(tx store.Tx) error {
	x.wrote = false
	if err := x.look(tx); err != nil || !x.lacks() {
		return err
	}
	if x.actor.Type == audit.Operator && x.actor.ID != "" { // a token that only reads makes nothing
		if err := x.v.mayAct(tx, x.actor, x.out.Project, ScopeWrite); err != nil {
			return err
		}
	}
	if err := errors.Join(x.generate(tx), x.keep(tx)); err != nil {
		return err
	}
	x.wrote = true
	detail := map[string]string{"outcome": string(x.out.Outcome), "definition": x.out.Resource.Attrs[kind.EnvironmentDefinition]}
	if len(x.out.Generated) > 0 {
		detail["generated"] = clippedNames(x.out.Generated)
	}
	e := projectEvent(x.actor, audit.EnvResolve, x.out.Project, detail)
	return x.v.audit.Append(tx, e)
}

// generate makes what is pending, and keeps it beside the project's other secrets. A name that is there is never made again: look saw the same transaction.
func (x *resolving) generate(tx store.Tx) error {
	old, err := x.v.configOf(tx, x.out.Project)
	if err != nil {
		return err
	}
	c := old.next(x.actor, x.v.now())
	x.out.Generated = nil
	if err := x.mayGenerate(old); err != nil {
		return err
	}
	for i := range x.out.Variables {
		r := &x.out.Variables[i]
		if r.State != variable.Pending {
			continue
		}
		if err := x.make(&c, r); err != nil {
			return err
		}
		x.out.Generated = append(x.out.Generated, r.Name)
	}
	if len(x.out.Generated) == 0 {
		return nil
	}
	return x.v.putConfig(tx, c)
}

func (x *resolving) make(c *ProjectConfig, r *variable.Resolved) error {
	value, err := variable.Generate(r.Form, nil)
	if err != nil {
		return err
	}
	defer value.Wipe()
	return x.seal(c, r, value)
}

func (x *resolving) seal(c *ProjectConfig, r *variable.Resolved, value secret.Secret) error {
	text, err := x.v.k.Seal(projectRef(c.Project, r.Name, c.Version), value)
	if err != nil {
		return err
	}
	c.Config.Secrets[r.Name] = text
	c.Known[r.Name] = SecretMeta{
		Version: c.Version, Type: SecretInfra, Class: value.LengthClass(), CreatedAt: c.UpdatedAt, UpdatedAt: c.UpdatedAt, UpdatedBy: c.UpdatedBy, Why: whyGenerated,
	}
	r.State = variable.Stored
	return nil
}

func environmentKey(project, digest string) string { return project + "/" + digest }

// digestOf names a definition: what is to be resolved, of which project, and not what it comes to.
func digestOf(project string, d variable.Definition) string {
	var b bytes.Buffer
	what := struct {
		Format      int               `json:"format"`
		Project     string            `json:"project"`
		Environment string            `json:"environment"`
		Contract    json.RawMessage   `json:"contract,omitempty"`
		Names       []string          `json:"names,omitempty"`
		Supplied    map[string]string `json:"supplied,omitempty"`
	}{Format: 1, Project: project, Environment: d.Environment, Names: d.Names, Supplied: d.Supplied}
	if d.Contract != nil {
		what.Contract = d.Contract.Canonical()
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(what); err != nil { // texts only
		panic("vault: " + err.Error())
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// keep makes the resource, where there is none of this definition.
func (x *resolving) keep(tx store.Tx) error {
	if x.out.Resource.ID != "" {
		return nil
	}
	v, p, digest := x.v, x.out.Project, digestOf(x.out.Project.ID, x.def)
	allowed, err := x.allowedTo(tx)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range x.out.Variables {
		if !r.Hidden {
			names = append(names, r.Name)
		}
	}
	now := v.now()
	r := Resource{
		Format: 1, ID: id.New(id.Resource), Handle: "env_" + p.Slug + "_" + digest[:12], Kind: kind.Environment, Project: p.Slug, Policy: allowed, Status: Active, Version: 1,
		Attrs:     map[string]string{kind.EnvironmentDefinition: digest, "variables": strings.Join(names, " ")},
		CreatedAt: now, UpdatedAt: now, UpdatedBy: x.actor.Name, Why: "resolved",
	}
	e := Environment{
		Format: 1, Resource: r.ID, Project: p.ID, Digest: digest, Environment: x.def.Environment, Contract: x.def.Contract, Names: x.def.Names, Supplied: x.def.Supplied,
		CreatedAt: now, CreatedBy: x.actor.Name,
	}
	x.out.Resource = r
	if err := errors.Join(x.mayHave(tx), v.claimHandle(tx, r.Handle, r.ID)); err != nil {
		return err
	}
	return errors.Join(v.environments.Put(tx, environmentKey(p.ID, digest), e), v.resources.Put(tx, r.ID, r),
		v.audit.Append(tx, resourceEvent(x.actor, audit.ResourceAdd, r, map[string]string{"definition": digest})))
}
