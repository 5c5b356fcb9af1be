package contract

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/kind"
)

// check holds an entry to what its source asks for, and sets what may be left out.
func (g *given) check(p *problems) {
	bad := func(format string, args ...any) { p.add(g.line, g.name+": "+format, args...) }
	if !slices.Contains(sources, g.Source) {
		bad("source is one of user_secret, generated_secret, allocation, derived, literal")
		return
	}
	for field := range g.has {
		if !slices.Contains(fieldsOfAll, field) && !slices.Contains(fieldsOf[g.Source], field) {
			bad("%s does not belong to source %s", field, g.Source)
		}
	}
	if len(g.Environments) == 0 {
		bad("environments names at least one, such as production")
	}
	if utf8.RuneCountInString(g.Description) > maxText {
		bad("description is longer than %d characters", maxText)
	}
	g.sensitivity(bad)
	g.public(bad)
	switch g.Source {
	case UserSecret:
		g.userSecret(bad)
	case Generated:
		g.generated(bad)
	case Allocation:
		g.allocation(bad)
	case Derived:
		g.derived(bad)
	case Literal:
		g.literal(bad)
	}
}

type complaint func(format string, args ...any)

// sensitivity: secrets are sensitive whether the contract says so or not, and what the contract itself holds cannot be.
func (g *given) sensitivity(bad complaint) {
	switch secret := g.Source == UserSecret || g.Source == Generated; {
	case secret && g.has["sensitive"] && !g.Sensitive:
		bad("a %s is sensitive", g.Source)
	case secret:
		g.Sensitive = true
	case g.Source == Literal && g.Sensitive:
		bad("a literal stands in the repository and cannot be sensitive: make it a user_secret")
	}
}

func (g *given) userSecret(bad complaint) {
	if g.Description == "" {
		bad("a user_secret has a description: it is what the person is asked")
	}
	if len(g.Consumers) == 0 {
		bad("a user_secret names at least one consumer")
	}
}

func (g *given) generated(bad complaint) {
	if !g.has["form"] {
		g.Form = URLSafe
	}
	if !slices.Contains(Forms(), g.Form) {
		bad("form is one of urlsafe, hex, hex64, fernet, laravel, alphanumeric, password")
	}
}

func (g *given) allocation(bad complaint) {
	switch {
	case (g.Service == "") == (g.Resource == ""):
		bad("an allocation names a service or a resource, not both")
	case g.Service != "" && !partName.MatchString(g.Service):
		bad("service is a name of lower-case letters, digits, _ and -")
	case g.Resource != "" && !handle.MatchString(g.Resource):
		bad("resource is a handle")
	case g.Resource != "" && !attribute.MatchString(g.Attribute):
		bad("an allocation of a resource names the attribute whose value it takes")
	case g.Service != "" && g.Attribute != "":
		bad("attribute belongs to resource")
	}
}

func (g *given) derived(bad complaint) {
	if !g.has["template"] {
		return
	}
	if g.Template == "" || len(g.Template) > MaxValue {
		bad("template has 1 to %d bytes", MaxValue)
		return
	}
	if _, err := ParseTemplate(g.Template); err != nil {
		bad("%s", strings.TrimPrefix(ErrTemplate.Error(), "contract: "))
	}
}

func (g *given) literal(bad complaint) {
	if !g.has["value"] {
		bad("a literal has a value")
	}
}

// public refuses what looks like a credential: a contract is read by everybody who reads the repository, and by models.
func (g *given) public(bad complaint) {
	for field, text := range map[string]string{"value": g.Value, "template": written(g.Template), "description": g.Description} {
		if what, yes := kind.LooksSecret(text); yes {
			bad("%s holds %s, and stands in the repository: make it a user_secret, and change the credential if the repository was shared", field, what)
			return
		}
	}
}

// written is the part of a template that stands in it as text: a reference in the place of a password is none.
func written(template string) string {
	pieces, _ := ParseTemplate(template)
	s := ""
	for _, p := range pieces {
		s += p.Text + p.Else
	}
	return s
}
