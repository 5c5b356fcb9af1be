package contract

import (
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	plainInteger = lazyregexp.New(`^-?(0|[1-9][0-9]{0,17})$`)
	plainDecimal = lazyregexp.New(`^-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}$`)
)

// disputed are words that one YAML reader takes for a truth value and another for a text (no is Norway, and false).
var disputed = []string{"y", "n", "yes", "no", "on", "off"}

// scalar reads a literal's value: a text, true or false, a number as people write it. What two readers would understand in two ways (no, 010, 0x1F, 1e3,
// 1_000, 2026-01-01, an empty value) must be quoted, and then is the text that it shows.
func scalar(n *yaml.Node, p *problems) string {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.Kind != yaml.ScalarNode {
		p.add(n.Line, "value is a text, a number, true or false")
		return ""
	}
	v := n.Value
	switch {
	case quoted:
	case n.Tag == "!!bool" && (v == "true" || v == "false"):
	case n.Tag == "!!int" && plainInteger.MatchString(v) && v != "-0", n.Tag == "!!float" && plainDecimal.MatchString(v):
	case n.Tag == "!!str" && !slices.Contains(disputed, strings.ToLower(v)) && !strings.HasPrefix(v, "<<"):
	default:
		p.add(n.Line, "value is read in several ways by YAML readers: quote it")
		return ""
	}
	if len(v) > MaxValue {
		p.add(n.Line, "value is longer than %d KiB", MaxValue>>10)
	}
	return v
}
