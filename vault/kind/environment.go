package kind

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Environment is the kind of a project's resolved environment. It has no sealed fields of its own: its variables are made of the project's secrets when a run
// needs them (vault.EnvironmentOf), so that a secret that is exchanged is exchanged in every environment.
const Environment = "environment"

// EnvironmentDefinition is the attribute that says which definition it is: a digest. Another definition is another resource, so that what a person allowed for one
// (a pin, a delivery) never holds for a contract that somebody changed since.
const EnvironmentDefinition = "definition"

var _ = register(Kind{
	Name:    Environment,
	Summary: "a project's environment: made by `zavhoz project env resolve`",
	Fields: []Field{
		{Name: EnvironmentDefinition, Class: Public, Derived: true, Help: "digest of the contract, or of the names"},
		{Name: "variables", Class: Public, Derived: true, Help: "names of the variables"},
	},
	Check: func(*Draft) error {
		return fault.New(fault.InvalidArgument, "an environment is made of its project, and of nothing else", "make one with `zavhoz project env resolve PROJECT`")
	},
	Env: func(attrs map[string]string) []EnvVar {
		var vars []EnvVar
		for _, name := range strings.Fields(attrs["variables"]) {
			vars = append(vars, EnvVar{Name: name, Field: name})
		}
		return vars
	},
	Uses: func(map[string]string) string {
		return "a project's whole environment: commands of your own get stand-ins for the keys of known services and every variable that is no secret; pinned commands get all of it"
	},
	Front:      func(map[string]string) string { return Environment },
	Deliveries: []policy.Delivery{policy.Broker, policy.Env},
	StandIn:    []policy.Delivery{policy.Broker},
})
