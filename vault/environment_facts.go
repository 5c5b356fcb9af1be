package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// What of a project's config an environment is made of.
const (
	keyModules   = "modules"       // names of its parts
	keyImages    = "image_prefix"  // "registry.example/owner/repo": images are PREFIX-SERVICE:latest
	keyOverrides = "env_overrides" // by name: values in the place of literals
)

var (
	moduleShape = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	imageShape  = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9][A-Za-z0-9._-]*){1,4}$`)
)

// factsOf gathers what is known of a project without opening anything. actor decides whose attributes count: what an agent may not see it does not learn by way of
// a variable.
func (v *Vault) factsOf(tx store.Tx, actor Actor, p Project, c ProjectConfig, def variable.Definition) (f variable.Facts, err error) {
	f = variable.Facts{ID: cmp.Or(p.Former, p.ID), Slug: p.Slug, Ports: map[string][]int{}, Attributes: map[string]map[string]string{}, Stored: map[string]bool{}, Hints: c.Config.EnvHints}
	for name := range c.Config.Secrets {
		f.Stored[name] = true
	}
	f.Modules, f.Images = modulesOf(c.Config.Other[keyModules]), imagesOf(c.Config.Other[keyImages])
	f.Overrides = overridesOf(c.Config.Other[keyOverrides])
	f.Agent = actor.Type == audit.Agent
	may := func(Resource) bool { return true }
	if actor.Type == audit.Agent {
		a, err := v.agentOf(tx, actor)
		if err != nil {
			return f, err
		}
		may = func(r Resource) bool { return visible(r, a) }
	}
	for _, handle := range handlesOf(def) { // those alone: an agent asks as often as it likes, and a vault has thousands
		r, err := v.byHandle(tx, handle)
		switch {
		case fault.CodeOf(err) == fault.UnknownResource:
		case err != nil:
			return f, err
		case r.Handle == handle && r.Project == p.Slug && r.Kind != kind.Environment && may(r):
			f.Attributes[r.Handle] = publicAttrs(r)
		}
	}
	return f, v.portsOf(tx, actor, p, f.Ports)
}

// handlesOf gives the resources that a definition names, each once.
func handlesOf(def variable.Definition) []string {
	seen := map[string]bool{}
	if def.Contract != nil {
		for _, e := range def.Contract.Entries {
			if e.Resource != "" {
				seen[e.Resource] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// publicAttrs leaves out a server's host key: scans of the internet find the address by it.
func publicAttrs(r Resource) map[string]string {
	out := make(map[string]string, len(r.Attrs))
	for name, value := range r.Attrs {
		if name != "host_key" {
			out[name] = value
		}
	}
	return out
}

// portsOf gives the ports that live leases hold for services of the project. For an agent its own count, and the operator's: another agent would lead it, and the secrets
// of its run, to a port of that one's choice. A person sees all.
func (v *Vault) portsOf(tx store.Tx, actor Actor, p Project, ports map[string][]int) error {
	return v.live.Scan(tx, "", "", func(_ string, at link) (bool, error) {
		l, err := v.leases.Get(tx, at.ID)
		if err != nil {
			return false, found(err, fault.New(fault.VaultCorrupt, "a live lease is lost", "restore from a backup"))
		}
		if l.Project != p.Slug || actor.Type == audit.Agent && l.Agent != "" && l.Agent != actor.ID || v.leaseLives(l) != nil {
			return true, nil
		}
		for service, port := range l.Services {
			ports[service] = append(ports[service], port)
		}
		return true, nil
	})
}

func modulesOf(raw json.RawMessage) []string {
	var all []string
	if len(raw) == 0 || json.Unmarshal(raw, &all) != nil || len(all) > maxConfigKeys {
		return nil
	}
	for _, m := range all {
		if !moduleShape.MatchString(m) { // a comma in a name would make two of it
			return nil
		}
	}
	return all
}

func imagesOf(raw json.RawMessage) (prefix string) {
	if len(raw) == 0 || json.Unmarshal(raw, &prefix) != nil || !imageShape.MatchString(prefix) || strings.Contains(prefix, "..") {
		return ""
	}
	return prefix
}

// overridesOf reads a project's overrides: texts, numbers as they are written, true and false; null is none. What is no object of them has one odd override of its own name.
func overridesOf(raw json.RawMessage) map[string]variable.Override {
	if len(raw) == 0 || isNull(raw) {
		return nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || len(all) > contract.MaxEntries {
		return map[string]variable.Override{keyOverrides: {Odd: true}}
	}
	out := make(map[string]variable.Override, len(all))
	for name, value := range all {
		if !isNull(value) {
			out[name] = overrideOf(value)
		}
	}
	return out
}

func overrideOf(raw json.RawMessage) variable.Override {
	text := string(bytes.TrimSpace(raw))
	var s string
	switch {
	case text == "" || text[0] == '{' || text[0] == '[':
		return variable.Override{Odd: true}
	case text[0] != '"':
		return variable.Override{Text: text}
	case json.Unmarshal(raw, &s) != nil || len(s) > contract.MaxValue || strings.ContainsRune(s, 0):
		return variable.Override{Odd: true}
	}
	return variable.Override{Text: s}
}

// checkOverrides refuses overrides that no resolution could take, when they are written.
func checkOverrides(raw json.RawMessage) error {
	for name, o := range overridesOf(raw) {
		if o.Odd || contract.CheckName(name) != "" {
			return fault.New(fault.InvalidArgument, "env_overrides is an object: names of variables, and a text, a number, true or false for each", "see docs/environments.md").With("field", keyOverrides)
		}
	}
	return nil
}

// EnvironmentValues is an environment as a run is to put it together: how each variable is made, and the sealed secrets that it is made of, by name.
type EnvironmentValues struct {
	Variables []variable.Resolved // those of the environment; hidden ones are left out
	Secrets   map[string]SealedSecret
}

// EnvironmentOf gives what a resource of kind environment stands for now, to who runs with it. It makes nothing: what was not made when it was resolved is missing. Its callers are those
// who may use the resource; see vault/open for who opens.
// Errors: secret_missing (names what a person has to give), resource_disabled (the definition is lost).
func (v *Vault) EnvironmentOf(ctx context.Context, actor Actor, r Resource) (out EnvironmentValues, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		p, err := v.byProject(tx, r.Project)
		if err != nil {
			return err
		}
		digest := r.Attrs[kind.EnvironmentDefinition]
		e, err := v.environments.Get(tx, environmentKey(p.ID, digest))
		if err != nil {
			return found(err, noDefinition(r))
		}
		def := e.definition()
		if e.Resource != r.ID || e.Digest != digest || digestOf(p.ID, def) != digest {
			return noDefinition(r)
		}
		c, err := v.configOf(tx, p)
		if err != nil {
			return err
		}
		f, err := v.factsOf(tx, actor, p, c, def)
		if err != nil {
			return err
		}
		out, err = valuesOf(r, p, c, variable.Plan(def, f))
		return err
	})
	return out, err
}

func noDefinition(r Resource) *fault.Error {
	return fault.New(fault.ResourceDisabled, "what the environment "+r.Handle+" is made of is not known any more", "resolve it again: resolve_environment, or `zavhoz project env resolve "+r.Project+"`")
}

func valuesOf(r Resource, p Project, c ProjectConfig, all []variable.Resolved) (EnvironmentValues, error) {
	out := EnvironmentValues{Secrets: map[string]SealedSecret{}}
	var lacks []string
	for _, x := range all {
		switch {
		case x.Hidden || x.State == variable.Absent:
			continue
		case !x.Ready():
			lacks = append(lacks, x.Name)
			continue
		}
		out.Variables = append(out.Variables, x)
		for _, part := range x.Parts {
			if part.Secret == "" {
				continue
			}
			text, ok := c.Config.Secrets[part.Secret]
			if !ok {
				lacks = append(lacks, part.Secret)
				continue
			}
			out.Secrets[part.Secret] = SealedSecret{Ref: c.SecretRef(part.Secret), Sealed: text, Known: c.Known[part.Secret]}
		}
	}
	if len(lacks) > 0 {
		return EnvironmentValues{}, fault.Newf(fault.SecretMissing, "the environment %s is not complete: %s", r.Handle, clippedNames(lacks)).
			WithNext("resolve_environment says what each needs; a person gives a secret: zavhoz project secret set %s NAME", p.Slug)
	}
	return out, nil
}
