package rotate

import (
	"time"

	"github.com/zavhoz/zavhoz/vault"
)

// guidedOverlap is how long the old value of a guided rotation stays in the vault: it may be in use where zavhoz does not reach.
const guidedOverlap = 24 * time.Hour

// guided is for whatever nothing else is known of: a person makes the new value where the old one came from.
var _ = register(Method{
	Name:    "guided",
	Summary: "a person makes the new value and gives it; the old one is forgotten when the overlap ends",
	Guided:  true, Purges: true, Overlap: guidedOverlap,
	Serves: func(vault.Resource, Request) bool { return true },
	Steps: func(r vault.Resource, _ Request) []string {
		out := []string{where(r), "give it: it is checked, sealed, and the resource's value from then on", "the old value stays as a former version, and masked, until the overlap ends"}
		return append(out, "take the old value away where it came from", "when the overlap has ended, every version from before is removed from the vault")
	},
})

// where tells a person where a new value comes from.
func where(r vault.Resource) string {
	switch r.Kind {
	case "github_app":
		return "make a new private key on the app's page at GitHub (what runs use are tokens of an hour at most, made from it: they need no rotation)"
	case "api_key":
		if s := r.Attrs["service"]; s != "" {
			return "make a new key at " + s
		}
	case "server":
		return "set a new password or key on the server"
	case "database":
		return "set a new password on the database server, and put it into the URL"
	}
	return "make a new value where the old one came from"
}
