package run

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// environmentTimeout bounds a look at what an environment is made of.
const environmentTimeout = 10 * time.Second

// environmentOf asks what an environment is made of now, for who runs with it.
func (e *Engine) environmentOf(actor vault.Actor, r vault.Resource) (vault.EnvironmentValues, error) {
	if e.o.Environment == nil {
		return vault.EnvironmentValues{}, fault.New(fault.NotSupported, "environments cannot be used here", "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), environmentTimeout)
	defer cancel()
	return e.o.Environment(ctx, actor, r)
}

// environmentIn gives what an environment is made of for one run. It is read once: what is masked, what a command may reach and what it is given are of one moment, also where another daemon
// changes the project meanwhile. A plan is one goroutine's.
func (e *Engine) environmentIn(p *plan, actor vault.Actor, r vault.Resource) (vault.EnvironmentValues, error) {
	if values, known := p.environments[r.ID]; known {
		return values, nil
	}
	values, err := e.environmentOf(actor, r)
	if err != nil {
		return values, err
	}
	if p.environments == nil {
		p.environments = map[string]vault.EnvironmentValues{}
	}
	p.environments[r.ID] = values
	return values, nil
}

// environmentItems puts every variable of an environment together, for a command that may hold values. What holds a secret, or a part of one, has a Field. Each secret
// that it is made of is shown to look first: a variable made of several is masked and watched by those, or what is left of it beside a mask would look like a leak.
func (e *Engine) environmentItems(r vault.Resource, values vault.EnvironmentValues, look func(name string, value secret.Secret) error) (items []deliver.Item, err error) {
	for _, v := range values.Variables {
		if !e.o.Rules.EnvNameAllowed(v.Name) || !policy.ProjectNameAllowed(v.Name) || egress.Steers(v.Name) { // of a definition that is older than the rule, at the latest
			return nil, fault.New(fault.DeliveryRefused, "the environment "+r.Handle+" sets "+v.Name+", which steers a loader, a shell, a proxy or a tool, so nothing is handed over",
				"resolve it again without that variable")
		}
	}
	if err := e.eachSecret(values, look); err != nil {
		return nil, err
	}
	for _, v := range values.Variables {
		it := deliver.Item{Name: v.Name, Handle: r.Handle}
		if v.Sensitive {
			it.Field = v.Name
		}
		if it.Value, err = e.composed(v, values.Secrets); err != nil {
			return items, err
		}
		items = append(items, it)
	}
	return items, nil
}

// eachSecret shows look every secret that an environment is made of, and the pieces of one that stand in a variable without the rest of it: a password that is taken out of a
// URL is a secret by itself, and shorter.
func (e *Engine) eachSecret(values vault.EnvironmentValues, look func(name string, value secret.Secret) error) error {
	open := func(name, label, as string) error {
		s := values.Secrets[name]
		value, err := e.o.Opener.Open(s.Ref, s.Sealed)
		if err != nil {
			return err
		}
		defer value.Wipe()
		if as == "" {
			return look(label, value)
		}
		text, ok := written(value, as)
		if !ok { // who composes it says so
			return nil
		}
		piece := secret.New(text)
		defer piece.Wipe()
		return look(label, piece)
	}
	for _, name := range slices.Sorted(maps.Keys(values.Secrets)) {
		if err := open(name, name, ""); err != nil {
			return err
		}
	}
	for _, v := range values.Variables {
		for _, part := range v.Parts {
			if part.Secret == "" || !slices.Contains([]string{contract.AsPassword, contract.AsAsync, contract.AsSync}, part.As) {
				continue
			}
			if err := open(part.Secret, v.Name, part.As); err != nil {
				return err
			}
		}
	}
	return nil
}

// learnEnvironment gives the run's redactor what its environment is made of, and of a run that holds it each variable as it stands there. The matcher of the whole vault
// hears of a fresh value a moment later, knows no variable that is put together, and takes nothing short.
func (e *Engine) learnEnvironment(l *live, p *plan, r vault.Resource) error {
	values, err := e.environmentIn(p, l.record.Actor, r)
	if err != nil {
		return err
	}
	add := func(name string, value secret.Secret) error {
		addWithParts(l.mask.add, r.Handle+"."+name, value)
		return nil
	}
	if err := e.eachSecret(values, add); err != nil || p.sort != pinnedRun {
		return err
	}
	for _, v := range values.Variables {
		if !v.Sensitive || sole(v) || v.Parts == nil || len(v.Parts) == 1 && short(v.Parts[0].As) {
			continue
		}
		value, err := e.composed(v, values.Secrets)
		if err != nil {
			return err
		}
		_ = add(v.Name, value)
		value.Wipe()
	}
	return nil
}

// short tells whether a piece of a database URL is none that is secret by itself: masked, the name of a user or a port would be a hole in every text.
func short(as string) bool {
	return slices.Contains([]string{contract.AsUsername, contract.AsHost, contract.AsPort, contract.AsDatabase}, as)
}

// composed opens what a variable is made of, and puts it together. The caller wipes the value.
func (e *Engine) composed(v variable.Resolved, sealed map[string]vault.SealedSecret) (secret.Secret, error) {
	var out []byte
	for _, part := range v.Parts {
		if part.Secret == "" {
			out = join(out, []byte(part.Text))
			continue
		}
		s := sealed[part.Secret]
		value, err := e.o.Opener.Open(s.Ref, s.Sealed)
		if err != nil {
			clear(out)
			return secret.Secret{}, err
		}
		text, ok := written(value, part.As)
		value.Wipe()
		if !ok {
			clear(out)
			return secret.Secret{}, fault.Newf(fault.SecretInvalid, "%s is made of the %s of %s, which has none", v.Name, part.As, part.Secret).WithNext("a person looks at it: zavhoz project secret set")
		}
		out = join(out, text)
		clear(text)
	}
	return secret.New(out), nil
}

// join appends, and leaves no copy of what was there.
func join(a, b []byte) []byte {
	out := make([]byte, 0, len(a)+len(b))
	out = append(append(out, a...), b...)
	clear(a)
	return out
}

// environment gives a command of the caller's own what can stand for an environment: every variable that is no secret, a placeholder for the key of each service that
// the catalogue knows, a front for its database. What has no stand-in is left out, and said.
func (o *outfit) environment(p *plan, r vault.Resource) (reach []egress.Resource, err error) {
	values, err := o.e.environmentIn(p, o.l.record.Actor, r)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, v := range values.Variables {
		switch {
		case !o.e.o.Rules.EnvNameAllowed(v.Name) || !policy.ProjectNameAllowed(v.Name) || egress.Steers(v.Name):
			left = append(left, v.Name)
		case !v.Sensitive:
			o.items = append(o.items, deliver.Item{Name: v.Name, Handle: r.Handle, Value: secret.FromString(v.Value())})
		case !sole(v):
			left = append(left, v.Name)
		default:
			m, ok, err := o.e.member(r, v.Name, values.Secrets[v.Name])
			if err != nil {
				return nil, err
			}
			if !ok {
				left = append(left, v.Name)
				continue
			}
			more, err := o.standFor(m, v.Name)
			if err != nil {
				return nil, err
			}
			reach = append(reach, more...)
		}
	}
	if len(left) > 0 {
		o.l.lacks(left)
	}
	return reach, nil
}

// sole tells whether a variable is one secret of its own name, as it is: a key that a contract puts under the name of another service must not be sent to that.
func sole(v variable.Resolved) bool {
	return len(v.Parts) == 1 && v.Parts[0].Secret == v.Name && v.Parts[0].As == ""
}

// lacks says which variables a command of the caller's own has not.
func (l *live) lacks(names []string) {
	slices.Sort(names)
	const most = 40
	text := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += ", …"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hinted("", "not set, because nothing can stand in for them (a pinned command has them): "+text)
}

// member is a secret of an environment as a resource by itself: what its name and its shape say. It has the environment's rules about addresses, and no hosts but
// those of its own kind: a host that a person allowed the environment is not one that every key may go to. Where a person allowed the environment some hosts and none of
// them is the secret's own, it goes nowhere.
func (e *Engine) member(r vault.Resource, name string, sealed vault.SealedSecret) (m vault.Resource, ok bool, err error) {
	value, err := e.o.Opener.Open(sealed.Ref, sealed.Sealed)
	if err != nil {
		return m, false, err
	}
	defer value.Wipe()
	g := kind.Recognise(name, value)
	k, err := kind.Get(g.Kind)
	if err != nil || g.Kind == "generic" {
		return m, false, nil
	}
	accepted, err := k.Validate(g.Attrs, map[string]secret.Secret{g.Field: value.Clone()})
	if err != nil { // its name says what it is, and its value is none of that
		return m, false, nil
	}
	for _, s := range accepted.Secrets {
		s.Wipe()
	}
	own := k.Rules(accepted.Attrs, policy.Policy{})
	if host, is := written(value, contract.AsHost); is && len(own) == 0 { // a database goes to its own host alone, by no rule of HTTP
		own = []policy.HostRule{{Host: string(host)}}
	}
	hosts := policy.Narrowed(own, r.Policy.Hosts)
	if len(r.Policy.Hosts) > 0 && len(hosts) == 0 { // no rules would mean the kind's own hosts: what was narrowed would be wide open
		return m, false, nil
	}
	return vault.Resource{
		ID: r.ID + "." + name, Handle: r.Handle, Kind: g.Kind, Attrs: accepted.Attrs, Project: r.Project, Status: r.Status, Version: r.Version,
		Policy: policy.Policy{Hosts: hosts, Resolve: r.Policy.Resolve, Private: r.Policy.Private, UpstreamCA: r.Policy.UpstreamCA},
		Sealed: map[string]vault.Sealed{g.Field: {Value: sealed.Sealed, Ref: &sealed.Ref}},
	}, true, nil
}

// held says where a pinned command that holds an environment may go: to the hosts of the environment's policy, and to those of the services whose keys it holds.
func (o *outfit) held(p *plan, r vault.Resource) ([]egress.Resource, error) {
	values, err := o.e.environmentIn(p, o.l.record.Actor, r)
	if err != nil {
		return nil, err
	}
	own, err := egressResource(r, r.Policy.Hosts)
	if err != nil {
		return nil, err
	}
	own.Holds = true
	reach := []egress.Resource{own}
	for _, v := range values.Variables {
		if !v.Sensitive || !sole(v) {
			continue
		}
		m, ok, err := o.e.member(r, v.Name, values.Secrets[v.Name])
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		there, err := egressResource(m, o.e.o.Rules.StandIn(m).Hosts)
		if err != nil {
			return nil, err
		}
		there.Holds = true
		reach = append(reach, there)
	}
	return reach, nil
}

// standFor makes the stand-in of a member, under the variable's own name.
func (o *outfit) standFor(m vault.Resource, name string) ([]egress.Resource, error) {
	s := o.e.o.Rules.StandIn(m)
	switch {
	case s.Why != "" || len(s.Swaps) == 0 && s.Front != pgFront:
		o.l.lacks([]string{name})
		return nil, nil
	case s.Front == pgFront:
		return nil, o.database(m, s)
	}
	reach, drawn, err := o.swaps(m, s)
	if err != nil {
		return nil, err
	}
	for _, w := range s.Swaps {
		if text, ok := drawn.of[w.Field+w.Minted]; ok {
			o.items = append(o.items, deliver.Item{Name: name, Handle: m.Handle, Value: secret.FromString(text)})
			break
		}
	}
	return []egress.Resource{reach}, nil
}
