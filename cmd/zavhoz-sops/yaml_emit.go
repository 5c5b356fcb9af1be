package main

import (
	"bytes"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/stores"
	"go.yaml.in/yaml/v3"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// yamlIndent is SOPS's own.
const yamlIndent = 4

// emitYAML writes as SOPS does, with the file's own indent. SOPS's writer starts an encoder and a parser for each value.
func emitYAML(t sops.Tree, indent int) ([]byte, error) {
	branches, err := stores.SerializeMetadata(t, stores.MetadataOpts{Flatten: stores.MetadataFlattenNone})
	if err != nil {
		return nil, err
	}
	if indent <= 0 {
		indent = yamlIndent
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(indent)
	for _, branch := range branches {
		root, err := mappingNode(branch)
		if err != nil {
			return nil, err
		}
		if err := e.Encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{root}}); err != nil {
			return nil, err
		}
	}
	err = e.Close()
	return b.Bytes(), err
}

// remarks are comments on their way to the node that they belong to.
type remarks struct{ before, behind []string }

// take keeps a comment; false if v is none.
func (r *remarks) take(v any) bool {
	c, ok := v.(sops.Comment)
	switch {
	case ok && c.Inline:
		r.behind = append(r.behind, c.Value)
	case ok:
		r.before = append(r.before, c.Value)
	}
	return ok
}

func hashed(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "#" + strings.Join(lines, "\n#")
}

// head puts the comments that stand before n there.
func (r *remarks) head(n *yaml.Node) {
	if len(r.before) == 0 {
		return
	}
	text := hashed(r.before)
	if n.HeadComment != "" {
		text += "\n" + n.HeadComment
	}
	n.HeadComment, r.before = text, nil
}

// line puts the comments that stand behind n there.
func (r *remarks) line(n *yaml.Node) {
	if len(r.behind) > 0 {
		n.LineComment, r.behind = hashed(r.behind), nil
	}
}

// rest puts what is left at the foot of last, or, where there is none, at the head of the whole.
func (r *remarks) rest(whole, last *yaml.Node) {
	r.before, r.behind = append(r.before, r.behind...), nil
	switch {
	case len(r.before) == 0:
	case last == nil:
		r.head(whole)
	default:
		last.FootComment = hashed(r.before)
	}
}

func mappingNode(b sops.TreeBranch) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: make([]*yaml.Node, 0, 2*len(b))}
	var (
		r    remarks
		last *yaml.Node
	)
	for _, item := range b {
		if r.take(item.Key) {
			continue
		}
		key, err := valueNode(item.Key)
		if err != nil {
			return nil, err
		}
		value, err := valueNode(item.Value)
		if err != nil {
			return nil, err
		}
		if last == nil {
			r.head(n)
		}
		r.head(key)
		r.line(value)
		n.Content = append(n.Content, key, value)
		last = key
	}
	r.rest(n, last)
	return n, nil
}

func sequenceNode(list []any) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	var (
		r    remarks
		last *yaml.Node
	)
	for _, item := range list {
		if r.take(item) {
			continue
		}
		value, err := valueNode(item)
		if err != nil {
			return nil, err
		}
		if last == nil {
			r.head(n)
		}
		r.head(value)
		r.line(value)
		n.Content = append(n.Content, value)
		last = value
	}
	r.rest(n, last)
	return n, nil
}

func valueNode(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case sops.TreeBranch:
		return mappingNode(v)
	case []any:
		return sequenceNode(v)
	case string:
		if strings.HasPrefix(v, encHead) || bareName(v) {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}, nil
		}
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil {
		return nil, wire.Fail{Code: wire.FailValueType}
	}
	return n, nil
}

// bareName knows most names of keys: letters, digits, `_`, six at least and no digit at the head, so that no reader takes one for a number, a
// truth value or nothing.
func bareName(s string) bool {
	if len(s) < 6 || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
