package variable

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/contract"
)

// maxPlan is how many bytes of text all values of one plan together are made of: a contract of a few kilobytes could refer to itself until the machine is full.
const maxPlan = 4 << 20

// maxText is how many bytes of text alone a value may be made of: what a variable can hold (run/deliver.MaxValue).
const maxText = 128 << 10

// byContract resolves what the contract declares.
func (p *planner) byContract(r *Resolved, e contract.Entry) {
	r.Source, r.Rule, r.Why = e.Source, "contract", "the contract says so"
	r.Description, r.Required, r.Sensitive = e.Description, e.Required, e.Sensitive
	if e.Source != contract.Literal && p.forbids(r) {
		r.Class = classOf[e.Source]
		return
	}
	switch e.Source {
	case contract.UserSecret:
		r.Class, r.Service = User, serviceOf(r.Name)
		p.given(r)
	case contract.Generated:
		r.Class, r.Form = Infra, e.Form
		v := Classify(r.Name)
		if v.Rule == "service" || v.Rule == "issued" || v.Rule == "vendor" || p.facts.Agent && v.Class != Infra && !p.facts.Stored[r.Name] {
			r.Why = "the contract would have it generated, but " + v.Why
			r.fail(NotAllowed, r.Name)
			return
		}
		p.generated(r)
	case contract.Allocation:
		r.Class = Computed
		p.allocated(r, e)
	case contract.Derived:
		r.Class = Computed
		p.derived(r, e)
	case contract.Literal:
		r.Class = Literal
		if !p.said(r) {
			r.State, r.Parts = Written, []Part{{Text: e.Value}}
		}
	}
}

var classOf = map[contract.Source]Class{contract.UserSecret: User, contract.Generated: Infra, contract.Allocation: Computed, contract.Derived: Computed, contract.Literal: Literal}

func serviceOf(name string) string {
	v, _ := ofService(name, nil)
	return v.Service
}

// derived goes by the template, else by what the name means. What the project has stored under the name is not used: the contract says that it is made of
// others.
func (p *planner) derived(r *Resolved, e contract.Entry) {
	template := e.Template
	if template == "" {
		v := Classify(r.Name)
		r.Rule, r.Why, template = "contract+"+v.Rule, v.Why, v.Template
		switch {
		case v.Of != "":
			template = "${" + v.Of + "}"
		case v.With != "" && (p.has(v.With) || p.facts.Stored[v.With]):
			template = v.WithTemplate
		}
		if template == "" {
			r.fail(NoRule, r.Name)
			return
		}
	}
	p.compose(r, template)
}

// byName resolves by the classifier. A value that the project has stored always wins: a person, or an earlier resolution, put it there.
func (p *planner) byName(r *Resolved) {
	v := Classify(r.Name)
	r.Class, r.Rule, r.Why, r.Form, r.Service = v.Class, v.Rule, v.Why, v.Form, v.Service
	_, supplied := p.def.Supplied[r.Name]
	_, overridden := p.facts.Overrides[r.Name]
	switch {
	case p.facts.Stored[r.Name] && !supplied && !overridden:
		p.stored(r)
	case (v.Class != Computed || p.facts.Stored[r.Name]) && p.forbids(r):
	case p.said(r):
	case p.ofURL(r):
	case v.Class == User:
		p.given(r)
	case v.Form != "":
		p.generated(r)
	case v.Of != "":
		p.compose(r, "${"+v.Of+"}")
	case v.With != "" && (p.has(v.With) || p.facts.Stored[v.With]):
		p.compose(r, v.WithTemplate)
	default:
		p.compose(r, v.Template)
	}
}

// ofURL takes the parts of a database from the URL where a person gave that, and not the parts: a generated password would open another database than the one
// that the URL names.
func (p *planner) ofURL(r *Resolved) bool {
	as, part := urlParts[r.Name]
	if !part {
		return false
	}
	for _, url := range []string{"DATABASE_URL", "ASYNC_DATABASE_URL"} {
		if url != r.Name && p.facts.Stored[url] && !p.facts.Stored["POSTGRES_PASSWORD"] && !p.declared(url) {
			r.State, r.Sensitive, r.Why = Made, true, "it is a part of "+url+", which the project has"
			r.Parts = []Part{{Secret: url, As: as}}
			return true
		}
	}
	return false
}

// declared tells whether the contract says that the variable is no secret of the project's: then what is stored under its name means nothing.
func (p *planner) declared(name string) bool {
	e, ok := p.entries[name]
	return ok && e.Source != contract.UserSecret && e.Source != contract.Generated
}

var urlParts = map[string]string{
	"POSTGRES_PASSWORD": contract.AsPassword, "POSTGRES_USER": contract.AsUsername, "POSTGRES_DB": contract.AsDatabase, "POSTGRES_HOST": contract.AsHost,
	"POSTGRES_PORT": contract.AsPort, "ASYNC_DATABASE_URL": contract.AsAsync, "DATABASE_URL": contract.AsSync,
}

// given is for what a person gives.
func (p *planner) given(r *Resolved) {
	r.Sensitive = true
	switch {
	case p.facts.Stored[r.Name]:
		p.stored(r)
	case r.Required:
		r.State = Missing
	default:
		r.State = Absent
	}
}

func (p *planner) generated(r *Resolved) {
	p.stored(r)
	if !p.facts.Stored[r.Name] {
		r.State = Pending
	}
}

func (p *planner) stored(r *Resolved) {
	r.State, r.Sensitive = Stored, true
	r.Parts = []Part{{Secret: r.Name}}
}

func (p *planner) allocated(r *Resolved, e contract.Entry) {
	if e.Service != "" {
		p.compose(r, "${@port."+e.Service+"}")
		return
	}
	value, ok := p.facts.Attributes[e.Resource][e.Attribute]
	if !ok {
		r.fail(NoAllocation, e.Resource+"."+e.Attribute)
		return
	}
	r.State, r.Parts = Made, []Part{{Text: value}}
}

// compose puts a value together from a template.
func (p *planner) compose(r *Resolved, template string) {
	pieces, err := contract.ParseTemplate(template)
	if err != nil {
		r.fail(NoRule, r.Name)
		return
	}
	r.State = Made
	for _, piece := range pieces {
		if !p.add(r, piece) {
			return
		}
	}
}

// put adds a part, where there is room for it.
func (p *planner) put(r *Resolved, part Part) bool {
	r.text += len(part.Text)
	p.text += len(part.Text)
	if r.text > maxText || p.text > maxPlan || len(r.Parts) >= maxParts {
		return r.fail(TooLong, r.Name)
	}
	r.Parts = append(r.Parts, part)
	return true
}

// escaped is escape, which a contract can ask for again and again.
func (p *planner) escaped(s string) string {
	if out, ok := p.written[s]; ok {
		return out
	}
	out := escape(s)
	if p.text += len(out); p.text <= maxPlan {
		p.written[s] = out
	}
	return out
}

// maxParts bounds what references to references can grow to.
const maxParts = 256

func (p *planner) add(r *Resolved, piece contract.Piece) bool {
	switch {
	case piece.Ref == "":
		return p.put(r, Part{Text: piece.Text})
	case strings.HasPrefix(piece.Ref, "@"):
		return p.fact(r, piece)
	case piece.Soft && !p.has(piece.Ref) && !p.facts.Stored[piece.Ref]:
		return p.put(r, Part{Text: piece.Else})
	}
	other := p.resolve(piece.Ref)
	switch {
	case other == nil:
		return r.fail(Circular, piece.Ref)
	case other.State == Pending || other.Ready():
		return p.take(r, other, piece.As)
	case piece.Soft:
		return p.put(r, Part{Text: piece.Else})
	case other.State == Missing:
		return r.fail(NoValue, other.Name)
	case other.State == Failed:
		return r.fail(other.Problem, other.Cause)
	}
	return r.fail(NoValue, other.Name)
}

// take adds the parts of another variable, written in a way. What is made of a secret is as secret as that.
func (p *planner) take(r, other *Resolved, as string) bool {
	if len(r.Parts)+len(other.Parts) > maxParts {
		return r.fail(TooLong, r.Name)
	}
	for _, part := range other.Parts {
		switch {
		case as == "":
		case part.Secret != "" && part.As == "":
			part.As = as
		case part.Secret == "" && as == contract.AsURL:
			part.Text = p.escaped(part.Text)
		default: // a piece of what is a piece already, or of a text that is no URL
			return r.fail(NoValue, other.Name)
		}
		if !p.put(r, part) {
			return false
		}
	}
	r.Sensitive = r.Sensitive || other.Sensitive
	return true
}

// fact adds what is known of the project.
func (p *planner) fact(r *Resolved, piece contract.Piece) bool {
	what, arg, _ := strings.Cut(strings.TrimPrefix(piece.Ref, "@"), ".")
	value := ""
	switch what {
	case "slug":
		value = p.facts.Slug
	case "id":
		value = p.facts.ID
	case "db":
		value = database(p.facts.ID)
	case "modules":
		if len(p.facts.Modules) == 0 {
			return r.fail(NoFact, "modules")
		}
		value = strings.Join(p.facts.Modules, ",")
	case "port":
		ports := p.facts.Ports[arg]
		if len(ports) > 1 {
			return r.fail(Ambiguous, arg)
		}
		if len(ports) == 0 || ports[0] < 1 || ports[0] > 65535 {
			return r.fail(NoAllocation, arg)
		}
		value = strconv.Itoa(ports[0])
	case "image":
		if p.facts.Images == "" {
			return r.fail(NoFact, "registry")
		}
		value = strings.ToLower(p.facts.Images) + "-" + strings.ReplaceAll(arg, "_", "-") + ":latest"
	}
	if piece.As == contract.AsURL {
		value = escape(value)
	}
	return p.put(r, Part{Text: value})
}

func (r *Resolved) fail(why Problem, cause string) bool {
	r.State, r.Problem, r.Cause, r.Parts = Failed, why, cause, nil
	if !r.Required {
		r.State = Absent
	}
	return false
}

// database is the name of the project's database.
func database(id string) string {
	return "db_" + strings.Map(func(c rune) rune {
		if c == '-' {
			return '_'
		}
		return c
	}, strings.ToLower(id))
}

// joined merges texts side by side.
func joined(parts []Part) []Part {
	var out []Part
	for _, p := range parts {
		if n := len(out); n > 0 && p.Secret == "" && out[n-1].Secret == "" {
			out[n-1].Text += p.Text
			continue
		}
		out = append(out, p)
	}
	return slices.Clip(out)
}

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

// escape percent-encodes everything but what RFC 3986 leaves alone everywhere.
func escape(s string) string { return string(Escape([]byte(s))) }

// Escape percent-encodes bytes for any part of a URL. The result is a copy.
func Escape(b []byte) []byte {
	const hexDigits = "0123456789ABCDEF"
	out := make([]byte, 0, 3*len(b))
	for _, c := range b {
		if strings.IndexByte(unreserved, c) >= 0 {
			out = append(out, c)
			continue
		}
		out = append(out, '%', hexDigits[c>>4], hexDigits[c&15])
	}
	return out
}
