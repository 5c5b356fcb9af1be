package main

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var errRules = wire.Fail{Code: wire.FailRules}

// configFile is what counts of a .sops.yaml. SOPS's own reader takes a path, and this process opens none.
type configFile struct {
	Creation []creationRule `yaml:"creation_rules"`
	Stores   struct {
		YAML struct {
			Indent int `yaml:"indent"`
		} `yaml:"yaml"`
		JSON struct {
			Indent int `yaml:"indent"`
		} `yaml:"json"`
	} `yaml:"stores"`
}

type creationRule struct {
	PathRegex          string     `yaml:"path_regex"`
	Age                any        `yaml:"age"`
	PGP                any        `yaml:"pgp"`
	KMS                any        `yaml:"kms"`
	GCP                any        `yaml:"gcp_kms"`
	HC                 any        `yaml:"hckms"`
	Azure              any        `yaml:"azure_keyvault"`
	Vault              any        `yaml:"hc_vault_transit_uri"`
	Groups             []keyGroup `yaml:"key_groups"`
	Threshold          int        `yaml:"shamir_threshold"`
	UnencryptedSuffix  string     `yaml:"unencrypted_suffix"`
	EncryptedSuffix    string     `yaml:"encrypted_suffix"`
	UnencryptedRegex   string     `yaml:"unencrypted_regex"`
	EncryptedRegex     string     `yaml:"encrypted_regex"`
	UnencryptedComment string     `yaml:"unencrypted_comment_regex"`
	EncryptedComment   string     `yaml:"encrypted_comment_regex"`
	MACOnly            bool       `yaml:"mac_only_encrypted"`
}

type keyGroup struct {
	Merge []keyGroup `yaml:"merge"`
	Age   any        `yaml:"age"`
	PGP   any        `yaml:"pgp"`
	KMS   any        `yaml:"kms"`
	GCP   any        `yaml:"gcp_kms"`
	HC    any        `yaml:"hckms"`
	Azure any        `yaml:"azure_keyvault"`
	Vault any        `yaml:"hc_vault"`
}

// creation finds the first rule for a path, as SOPS does.
func creation(q wire.RulesRequest) (c wire.Creation, err error) {
	var f configFile
	if len(q.Config) > wire.MaxConfig {
		return c, wire.Fail{Code: wire.FailTooLarge}
	}
	if yaml.Unmarshal(q.Config, &f) != nil {
		return c, errRules
	}
	if f.Creation == nil {
		return c, nil
	}
	for _, r := range f.Creation {
		re, err := regexp.Compile(r.PathRegex)
		if err != nil {
			return c, errRules
		}
		if !re.MatchString(q.Path) {
			continue
		}
		if c, err = r.creation(); err != nil {
			return c, err
		}
		c.Rules.Indent = f.indent(formatByName(q.Path))
		return c, nil
	}
	return c, errRules
}

func (f configFile) indent(format string) int {
	n := 0
	switch format {
	case "yaml":
		n = f.Stores.YAML.Indent
	case "json":
		n = f.Stores.JSON.Indent
	}
	return min(max(n, 0), 9)
}

func (r creationRule) creation() (c wire.Creation, err error) {
	c = wire.Creation{Found: true, Threshold: r.Threshold, Rules: wire.Rules{UnencryptedSuffix: r.UnencryptedSuffix, EncryptedSuffix: r.EncryptedSuffix,
		UnencryptedRegex: r.UnencryptedRegex, EncryptedRegex: r.EncryptedRegex, UnencryptedComment: r.UnencryptedComment, EncryptedComment: r.EncryptedComment, MACOnly: r.MACOnly}}
	if err := checkRules(c.Rules); err != nil {
		return c, err
	}
	groups := r.Groups
	if len(groups) == 0 {
		groups = []keyGroup{{Age: r.Age, PGP: r.PGP, KMS: r.KMS, GCP: r.GCP, HC: r.HC, Azure: r.Azure, Vault: r.Vault}}
	}
	for _, g := range groups {
		list, err := g.keys(0)
		if err != nil {
			return c, err
		}
		c.Groups = append(c.Groups, list)
	}
	if len(c.Groups) < 2 {
		c.Threshold = 0
	} else if c.Threshold == 0 {
		c.Threshold = len(c.Groups)
	}
	if c.Threshold < 0 || c.Threshold > len(c.Groups) || len(c.Groups) > 255 {
		return c, errRules
	}
	return c, nil
}

// checkRules refuses what SOPS refuses: two rules at once, and expressions that are none.
func checkRules(r wire.Rules) error {
	set := 0
	for _, s := range []string{r.UnencryptedSuffix, r.EncryptedSuffix, r.UnencryptedRegex, r.EncryptedRegex, r.UnencryptedComment, r.EncryptedComment} {
		if s != "" {
			set++
		}
	}
	for _, s := range []string{r.UnencryptedRegex, r.EncryptedRegex, r.UnencryptedComment, r.EncryptedComment} {
		if _, err := regexp.Compile(s); err != nil {
			return errRules
		}
	}
	if set > 1 {
		return errRules
	}
	return nil
}

// keys lists a group's recipients. Of other kinds only that they are there is told: a file cannot be made for them here.
func (g keyGroup) keys(depth int) (out []wire.Key, err error) {
	if depth > 8 {
		return nil, errRules
	}
	for _, m := range g.Merge {
		more, err := m.keys(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	names, err := texts(g.Age)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			out = append(out, wire.Key{Type: "age", Name: n})
		}
		seen[n] = true
	}
	for _, other := range []struct {
		kind string
		keys any
	}{{"pgp", g.PGP}, {"kms", g.KMS}, {"gcp_kms", g.GCP}, {"hckms", g.HC}, {"azure_kv", g.Azure}, {"hc_vault", g.Vault}} {
		if some(other.keys) {
			out = append(out, wire.Key{Type: other.kind})
		}
	}
	return out, nil
}

func some(keys any) bool {
	switch v := keys.(type) {
	case string:
		return strings.Trim(v, ", ") != ""
	case []any:
		return len(v) > 0
	}
	return keys != nil
}

// texts reads "a,b" or a list of such.
func texts(v any) (out []string, err error) {
	switch v := v.(type) {
	case nil:
	case string:
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	case []any:
		for _, i := range v {
			s, ok := i.(string)
			if !ok {
				return nil, errRules
			}
			more, _ := texts(s)
			out = append(out, more...)
		}
	default:
		return nil, errRules
	}
	return out, nil
}
