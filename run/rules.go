package run

import (
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// DefaultRules are the rules of vault/policy and vault/kind.
type DefaultRules struct{}

var _ Rules = DefaultRules{}

// MatchPin is policy.MatchAny.
func (DefaultRules) MatchPin(r vault.Resource, argv []string) (policy.Pin, []string, error) {
	return policy.MatchAny(r.Policy.Pins, argv)
}

// EnvNameAllowed is policy.EnvNameAllowed.
func (DefaultRules) EnvNameAllowed(name string) bool { return policy.EnvNameAllowed(name) }

// Allows asks the kind what it can, and the policy what it may.
func (DefaultRules) Allows(r vault.Resource, d policy.Delivery) bool {
	k, err := kind.Get(r.Kind)
	if err != nil || !slices.Contains(k.Deliveries, d) {
		return false
	}
	standIn, _ := k.StandIns(r.Attrs)
	return r.Policy.AllowsDelivery(d, standIn)
}

// EnvVars is the kind's.
func (DefaultRules) EnvVars(r vault.Resource) []kind.EnvVar {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return nil
	}
	return k.EnvVars(r.Attrs)
}

// MatchExec is policy.MatchExec.
func (DefaultRules) MatchExec(r vault.Resource, line string) error {
	return policy.MatchExec(r.Policy.Exec, line)
}
