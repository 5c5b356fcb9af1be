package main

import (
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/shamir"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// groupsOf lists the keys of a file. Only age's are given whole: nobody here can do anything with the others.
func groupsOf(m sops.Metadata) (out [][]wire.Key) {
	for _, group := range m.KeyGroups {
		var list []wire.Key
		for _, k := range group {
			key := wire.Key{Type: k.TypeToIdentifier(), Name: k.ToString()}
			if key.Type == age.KeyTypeIdentifier {
				key.Enc = string(k.EncryptedDataKey())
			}
			list = append(list, key)
		}
		out = append(out, list)
	}
	return out
}

// regroup gives the groups of a file that is to be written: keys with Enc are new, the others are those that m has.
func regroup(m sops.Metadata, groups [][]wire.Key, threshold int) (sops.Metadata, error) {
	var out []sops.KeyGroup
	for _, list := range groups {
		var group sops.KeyGroup
		for _, k := range list {
			if k.Type == age.KeyTypeIdentifier && k.Enc != "" {
				group = append(group, &age.MasterKey{Recipient: k.Name, EncryptedKey: k.Enc})
				continue
			}
			before, ok := find(m, k)
			if !ok {
				return m, wire.Fail{Code: wire.FailForeign}
			}
			group = append(group, before)
		}
		if len(group) == 0 {
			return m, wire.Fail{Code: wire.FailProtocol}
		}
		out = append(out, group)
	}
	if len(out) == 0 || threshold > len(out) {
		return m, wire.Fail{Code: wire.FailProtocol}
	}
	m.KeyGroups, m.ShamirThreshold = out, threshold
	return m, nil
}

func find(m sops.Metadata, k wire.Key) (keys.MasterKey, bool) {
	for _, group := range m.KeyGroups {
		for _, x := range group {
			if x.TypeToIdentifier() == k.Type && x.ToString() == k.Name {
				return x, true
			}
		}
	}
	return nil, false
}

func split(q wire.SplitRequest) (wire.Shares, error) {
	if q.Parts < 2 || q.Threshold < 2 || q.Threshold > q.Parts || q.Key.Len() != 32 {
		return nil, wire.Fail{Code: wire.FailProtocol}
	}
	parts, err := shamir.Split(q.Key.Reveal(), q.Parts, q.Threshold)
	if err != nil {
		return nil, wire.Fail{Code: wire.FailInternal}
	}
	var out wire.Shares
	for _, p := range parts {
		out = append(out, secret.New(p))
	}
	return out, nil
}

func combine(s wire.Shares) (secret.Secret, error) {
	var parts [][]byte
	for _, x := range s {
		parts = append(parts, x.Reveal())
	}
	if len(parts) < 2 {
		return secret.Secret{}, wire.Fail{Code: wire.FailProtocol}
	}
	key, err := shamir.Combine(parts)
	if err != nil || len(key) != 32 {
		return secret.Secret{}, wire.Fail{Code: wire.FailValue}
	}
	return secret.New(key), nil
}
