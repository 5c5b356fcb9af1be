// Package variable says of each variable of a project's environment what it is, where its value comes from, and what is missing.
//
// Promise: a value that zavhoz makes up is one that the project alone decides about (its own database's password, its own signing keys). What somebody else
// issues, or what no rule knows, is asked of a person: an extra question costs a minute, an invented key breaks a deploy in silence. Every decision names the
// rule that made it. Values that belong together (a password, and the URLs that hold it) are made of one secret, when they are needed, and so never differ.
// Nothing here holds a secret: a plan says how a value is put together, and names what it is made of.
//
// Attacks stopped: a contract of an agent's that would have zavhoz invent what a person must give, or that copies one secret into another variable unseen
// (what is made of a secret is sensitive); names and templates without bounds (threat-model.md 67).
//
// Limits: a rule goes by the name. Where a project means something else by it, its contract says so, and wins.
package variable

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/contract"
)

// Class is what a variable is, for people. Names are frozen.
type Class string

// The classes.
const (
	Infra    Class = "infra"    // the project's own secret or setting: generated, or fixed; kept before its first use, never made again
	Computed Class = "computed" // from the project and its allocations
	User     Class = "user"     // a person gives it
	Literal  Class = "literal"  // the contract holds it
)

// Verdict is what a rule says of a name.
type Verdict struct {
	Class Class
	Rule  string // the rule's name, frozen
	Why   string // half a sentence for people
	// One of these where the class is not User: what is generated, or how the value is made of others.
	Form     contract.Form
	Template string
	// Of is the variable that keeps the secret: DB_PASSWORD is POSTGRES_PASSWORD by another name. "": the variable itself.
	Of string
	// WithTemplate holds in the place of Template where the environment, or the project, has the variable With: a password belongs into the URL.
	With, WithTemplate string
	// Service is the catalogue's name of the service whose key this is; "" for none.
	Service string
}

// rule is one row of the classifier: the first that knows the name decides.
type rule struct {
	name string
	why  string
	of   func(name string, words []string) (Verdict, bool)
}

// Classify says what a variable is by its name. Names are taken in capitals.
func Classify(name string) Verdict {
	name = strings.ToUpper(name)
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' })
	for _, r := range rules {
		if v, ok := r.of(name, words); ok {
			v.Rule = r.name
			if v.Why == "" {
				v.Why = r.why
			}
			return v
		}
	}
	return Verdict{Class: User, Rule: "unknown", Why: "no rule knows the name, so nothing is made up: a person gives it"}
}
