package kind

import "github.com/zavhoz/zavhoz/vault/policy"

// Mints gives the key endpoints that a person lifted the denial of for this resource, as denials by host: a request that policy.Denies finds there goes out only
// for a caller who captures what its reply makes. Through a run's proxy it stays denied.
func (k Kind) Mints(attrs map[string]string, p policy.Policy) []policy.HostRule {
	keys := k.Keys
	if keys == nil {
		keys = k.Hosts
	}
	if keys == nil {
		return nil
	}
	return policy.Lifted(k.Rules(attrs, p), keys(attrs))
}
