package vault

import (
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/internal/spell"
)

// The records that a resource added or edited and a secret merged write, spelled without reflection: it was a third of what such a write took of the processor.
// TestSpelledAsByReflection holds each against encoding/json; a field that is new in the type must come here too.

func spellResource(b []byte, r *Resource) ([]byte, error) {
	o := spell.Begin(b)
	o.Int("format", r.Format)
	o.Text("id", r.ID)
	o.Text("handle", r.Handle)
	o.Text("kind", r.Kind)
	o.SomeTexts("attrs", r.Attrs)
	if len(r.Sealed) > 0 {
		o.Name("secrets")
		spell.Map(&o, r.Sealed, func(s Sealed) { spellSealed(&o, s) })
	}
	o.SomeTexts("labels", r.Labels)
	o.Text("project", r.Project)
	o.Name("policy")
	if saysNothing(&r.Policy) { // one that says something is written by encoding/json, so that no rule is ever left out
		o.Open()
		o.Close()
	} else {
		o.Any(&r.Policy)
	}
	o.Text("status", string(r.Status))
	o.Uint("version", r.Version)
	o.Time("created_at", r.CreatedAt)
	o.Time("updated_at", r.UpdatedAt)
	o.Text("updated_by", r.UpdatedBy)
	o.SomeText("why", r.Why)
	o.SomeText("source", r.Source)
	o.SomeText("moves_to", r.MovesTo)
	return o.End()
}

func spellSealed(o *spell.Object, s Sealed) {
	o.Open()
	o.Text("value", s.Value)
	o.Uint("version", s.Version)
	o.Text("class", s.Class)
	o.Close()
}

func spellLink(b []byte, l *link) ([]byte, error) {
	o := spell.Begin(b)
	o.Text("id", l.ID)
	return o.End()
}

func spellConfig(b []byte, c *ProjectConfig) ([]byte, error) {
	o := spell.Begin(b)
	o.Int("format", c.Format)
	o.Text("project", c.Project)
	o.Uint("version", c.Version)
	o.Name("config")
	spellSettings(&o, c.Config)
	if o.Name("known"); c.Known == nil {
		o.Any(nil)
	} else {
		spell.Map(&o, c.Known, func(m SecretMeta) { spellMeta(&o, m) })
	}
	o.Time("updated_at", c.UpdatedAt)
	o.Text("updated_by", c.UpdatedBy)
	return o.End()
}

// spellSettings writes what Settings.MarshalJSON does.
func spellSettings(o *spell.Object, s Settings) {
	o.Open()
	keys := slices.AppendSeq([]string{keySecrets, keyEnvHints}, maps.Keys(s.Other))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		switch o.Key(key); key {
		case keySecrets:
			o.Texts(s.Secrets)
		case keyEnvHints:
			o.Texts(s.EnvHints)
		default:
			o.Any(s.Other[key])
		}
	}
	o.Close()
}

func spellMeta(o *spell.Object, m SecretMeta) {
	o.Open()
	o.Uint("version", m.Version)
	o.Text("type", string(m.Type))
	o.Text("class", m.Class)
	o.SomeText("check", m.Check)
	o.Time("created_at", m.CreatedAt)
	o.Time("updated_at", m.UpdatedAt)
	o.Text("updated_by", m.UpdatedBy)
	o.SomeText("why", m.Why)
	o.Close()
}

func spellFormer(b []byte, f *FormerSecret) ([]byte, error) {
	o := spell.Begin(b)
	o.Int("format", f.Format)
	o.Text("project", f.Project)
	o.Text("name", f.Name)
	o.Text("value", f.Value)
	o.Name("known")
	spellMeta(&o, f.Known)
	return o.End()
}
