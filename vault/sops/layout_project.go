package sops

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// ofProject reads `projects.<slug>`: its secrets, and the hints that go with them.
func (l *layout) ofProject(slug string, n wire.Node) {
	if !slugShape.MatchString(slug) || n.Kind != wire.Map {
		l.problem(fault.New(fault.InvalidArgument, "a project is a slug (a letter, then lower-case letters, digits and `-`, 40 at most), and under it its secrets", ""), projectsSection, slug)
		return
	}
	hints, _ := n.Get("env_hints")
	secrets, _ := n.Get("secrets")
	if secrets.Kind != wire.Map && secrets.Kind != wire.Null {
		l.problem(fault.New(fault.InvalidArgument, "secrets are names, and a value for each", ""), projectsSection, slug, "secrets")
		return
	}
	for _, i := range secrets.Items {
		l.secret(slug, i, []string{projectsSection, slug, "secrets"}, strings.TrimSuffix(i.Key, clearSuffix))
		if h, ok := hints.Get(i.Key); ok && h.Kind.Scalar() && len(l.set.Secrets) > 0 {
			if last := &l.set.Secrets[len(l.set.Secrets)-1]; last.Project == slug && last.Path[len(last.Path)-1] == i.Key {
				if _, secret := kind.LooksSecret(text(h)); !secret { // people and models read it
					last.Hint = text(h)
				}
			}
		}
	}
	for _, i := range n.Items {
		switch i.Key {
		case "secrets", "env_hints", "title", "title" + clearSuffix:
		default:
			if !i.Value.Kind.IsComment() {
				l.problem(fault.New(fault.UnknownField, "a project here has `secrets`, `env_hints` and `title`", ""), projectsSection, slug, i.Key)
			}
		}
	}
}

// flat reads a dotenv file, or a section of an INI file: names of the section DEFAULT are those of the environment, others get the section's before them.
func (l *layout) flat(n wire.Node, at []string) {
	if n.Kind != wire.Map {
		return
	}
	head := ""
	if len(at) > 0 && !strings.EqualFold(at[0], "DEFAULT") {
		head = envName(at[0]) + "_"
	}
	for _, i := range n.Items {
		name := strings.TrimSuffix(i.Key, clearSuffix)
		if head != "" {
			name = head + envName(name)
		}
		l.secret(l.project, i, at, name)
	}
}

// envName makes a variable's name of an INI name: "db.password" → "DB_PASSWORD".
func envName(s string) string {
	return strings.ToUpper(notInNames.ReplaceAllString(s, "_"))
}

func (l *layout) secret(project string, i wire.Item, at []string, name string) {
	path := append(append([]string{}, at...), i.Key)
	switch {
	case i.Value.Kind.IsComment() || i.Value.Kind == wire.Null:
	case !nameShape.MatchString(name):
		l.problem(fault.New(fault.InvalidArgument, "the name of a project's secret has letters, digits and `_`, 128 at most, and begins with no digit", "rename it"), path...)
	case !i.Value.Kind.Scalar():
		l.problem(fault.New(fault.InvalidArgument, "a project's secret is one value", ""), path...)
	default:
		l.set.Secrets = append(l.set.Secrets, ProjectSecret{Project: project, Name: name, Value: value(i.Value), File: l.file, Path: path})
	}
}
