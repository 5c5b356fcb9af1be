package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// loadYAML reads all documents in one pass: SOPS's own reader parses twice, and expands aliases without end in any document but the first.
func loadYAML(in []byte) (sops.TreeBranches, int, error) {
	d := yaml.NewDecoder(bytes.NewReader(in))
	var (
		out    sops.TreeBranches
		indent int
		l      loader
	)
	for {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, indent, nil
		}
		if err != nil {
			return nil, 0, wire.Fail{Code: wire.FailSyntax}
		}
		b, err := l.document(&doc)
		if err != nil {
			return nil, 0, err
		}
		if len(out) == 0 {
			indent = indentOf(&doc)
		}
		out = append(out, b)
	}
}

// loader counts what it reads.
type loader struct{ nodes int }

func (l *loader) count(line, depth int) error {
	if l.nodes++; l.nodes > wire.MaxNodes || depth > wire.MaxDepth {
		return wire.Fail{Code: wire.FailTooLarge, Line: line}
	}
	return nil
}

func (l *loader) document(doc *yaml.Node) (sops.TreeBranch, error) {
	b := comments(sops.TreeBranch{}, doc.HeadComment, false)
	b = comments(b, doc.LineComment, false)
	for _, root := range doc.Content {
		switch {
		case root.Kind == yaml.MappingNode:
			var err error
			if b, err = l.mapping(b, root, 0, false); err != nil {
				return nil, err
			}
		case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		default:
			return nil, wire.Fail{Code: wire.FailSyntax, Line: root.Line}
		}
	}
	return comments(b, doc.FootComment, false), nil
}

// comments appends each line of a comment of YAML, without its `#`.
func comments(b sops.TreeBranch, text string, inline bool) sops.TreeBranch {
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			b = append(b, sops.TreeItem{Key: sops.Comment{Value: line[1:], Inline: inline}})
		}
	}
	return b
}

// mapping appends the entries of n. Comments stand where SOPS looks for them: before their entry, those behind a value too.
func (l *loader) mapping(b sops.TreeBranch, n *yaml.Node, depth int, handled bool) (sops.TreeBranch, error) {
	if err := l.count(n.Line, depth); err != nil {
		return nil, err
	}
	if !handled {
		b = comments(comments(b, n.HeadComment, false), n.LineComment, false)
	}
	names := make(map[string]struct{}, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, err := keyName(key, names)
		if err != nil {
			return nil, err
		}
		b = comments(comments(b, key.HeadComment, false), key.LineComment, false)
		scalar := value.Kind == yaml.ScalarNode
		if scalar {
			b = comments(comments(b, value.HeadComment, false), value.LineComment, true)
		}
		v, err := l.value(value, depth+1, scalar)
		if err != nil {
			return nil, err
		}
		b = append(b, sops.TreeItem{Key: name, Value: v})
		if scalar {
			b = comments(b, value.FootComment, false)
		}
		b = comments(b, key.FootComment, false)
	}
	if !handled {
		b = comments(b, n.FootComment, false)
	}
	return b, nil
}

func keyName(key *yaml.Node, names map[string]struct{}) (string, error) {
	if key.Kind != yaml.ScalarNode || key.Anchor != "" {
		return "", anchorOr(key, wire.FailSyntax)
	}
	if tag := key.ShortTag(); tag != "!!str" {
		return "", wire.Fail{Code: wire.FailSyntax, Line: key.Line}
	}
	if _, twice := names[key.Value]; twice {
		return "", wire.Fail{Code: wire.FailDuplicate, Line: key.Line}
	}
	names[key.Value] = struct{}{}
	return key.Value, nil
}

func anchorOr(n *yaml.Node, otherwise wire.Code) wire.Fail {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		otherwise = wire.FailAnchor
	}
	return wire.Fail{Code: otherwise, Line: n.Line}
}

func (l *loader) value(n *yaml.Node, depth int, handled bool) (any, error) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return nil, anchorOr(n, wire.FailAnchor)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return l.mapping(sops.TreeBranch{}, n, depth, handled)
	case yaml.SequenceNode:
		return l.sequence(n, depth)
	case yaml.ScalarNode:
		if err := l.count(n.Line, depth); err != nil {
			return nil, err
		}
		return scalar(n)
	}
	return nil, wire.Fail{Code: wire.FailSyntax, Line: n.Line}
}

func (l *loader) sequence(n *yaml.Node, depth int) (any, error) {
	if err := l.count(n.Line, depth); err != nil {
		return nil, err
	}
	list := listComments(listComments(nil, n.HeadComment, false), n.LineComment, false)
	for _, item := range n.Content {
		list = listComments(listComments(list, item.HeadComment, false), item.LineComment, true)
		v, err := l.value(item, depth+1, true)
		if err != nil {
			return nil, err
		}
		list = listComments(append(list, v), item.FootComment, false)
	}
	if list = listComments(list, n.FootComment, false); list == nil {
		list = []any{}
	}
	return list, nil
}

func listComments(list []any, text string, inline bool) []any {
	for _, item := range comments(nil, text, inline) {
		list = append(list, item.Key)
	}
	return list
}

// scalar gives one of the types that SOPS can hold.
func scalar(n *yaml.Node) (any, error) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 && n.Tag == "!!str" || strings.HasPrefix(n.Value, encHead) {
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, wire.Fail{Code: wire.FailSyntax, Line: n.Line}
	}
	switch v.(type) {
	case nil, string, int, float64, bool, time.Time:
		return v, nil
	}
	return nil, wire.Fail{Code: wire.FailValueType, Line: n.Line}
}

// indentOf finds how far the first map within the document stands in; 0 if there is none.
func indentOf(doc *yaml.Node) int {
	for _, root := range doc.Content {
		for i := 1; i < len(root.Content); i += 2 {
			v := root.Content[i]
			if v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle == 0 && len(v.Content) > 0 {
				if by := v.Content[0].Column - root.Column; by >= 2 && by <= 9 {
					return by
				}
			}
		}
	}
	return 0
}
