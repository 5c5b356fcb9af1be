package sops

import (
	"context"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// NewFile is what Create makes a file of.
type NewFile struct {
	Format     string    // "yaml", "json", "dotenv", "ini"
	Tree       wire.Tree // neither kept nor wiped
	Recipients []string  // age1… and ssh public keys; added to those of Config's rule
	Config     []byte    // a .sops.yaml, or nil
	Path       string    // of the file, relative to the .sops.yaml's folder: decides which creation rule holds
}

// Create makes a SOPS file under a new data key. A rule of Config gives recipients, key groups and what is encrypted; where it asks for keys of
// another kind than age, or leaves a Sealed value in clear, the fault is not_supported.
func (c *Codec) Create(ctx context.Context, n NewFile) (out []byte, err error) {
	err = c.with(ctx, func(t *talk) error {
		t.name = n.Path
		rule := wire.Creation{}
		if n.Config != nil {
			if rule, err = ask(t, wire.OpRules, wire.RulesRequest{Config: n.Config, Path: n.Path}.Encode(), wire.DecodeCreation); err != nil {
				return err
			}
		}
		groups, others := names(rule.Groups)
		if others {
			return foreign("the creation rule for " + t.file())
		}
		if len(groups) == 0 {
			groups = [][]string{nil}
		}
		for _, r := range n.Recipients {
			for i := range groups { // in each group: who is asked for by name reads the file without anybody else
				groups[i] = addOnce(groups[i], r)
			}
		}
		key, err := newKey()
		if err != nil {
			return err
		}
		defer key.Wipe()
		wrapped, err := c.wrapAll(t, key, groups, rule.Threshold)
		if err != nil {
			return err
		}
		q := wire.CreateRequest{Format: n.Format, Groups: wrapped, Threshold: rule.Threshold, Rules: rule.Rules, Key: key, Tree: n.Tree}
		if out, err = ask(t, wire.OpCreate, q.Encode(), wire.DecodeFile); err != nil {
			return err
		}
		for _, d := range n.Tree.Documents {
			if shows(out, nil, nil, d) {
				out = nil
				return staysClear(t.file())
			}
		}
		return nil
	})
	return out, err
}

func addOnce(list []string, s string) []string {
	for _, x := range list {
		if x == s {
			return list
		}
	}
	return append(list, s)
}

// Rules gives the creation rule that a .sops.yaml has for a file; path as in NewFile. Errors: invalid_argument (broken, none fits).
func (c *Codec) Rules(ctx context.Context, config []byte, path string) (r wire.Creation, err error) {
	err = c.with(ctx, func(t *talk) error {
		t.name = path
		r, err = ask(t, wire.OpRules, wire.RulesRequest{Config: config, Path: path}.Encode(), wire.DecodeCreation)
		return err
	})
	return r, err
}
