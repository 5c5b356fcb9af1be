package main

import (
	"strconv"
	"time"

	"github.com/getsops/sops/v3"

	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// toWire gives the plain tree in the neutral form.
func toWire(b sops.TreeBranches) (t wire.Tree, err error) {
	for _, branch := range b {
		n, err := toNode(branch)
		if err != nil {
			t.Wipe()
			return wire.Tree{}, err
		}
		t.Documents = append(t.Documents, n)
	}
	return t, nil
}

func toNode(value any) (n wire.Node, err error) {
	switch v := value.(type) {
	case nil:
		return wire.Node{}, nil
	case sops.TreeBranch:
		n = wire.Node{Kind: wire.Map, Items: make([]wire.Item, 0, len(v))}
		for _, i := range v {
			item := wire.Item{}
			if c, ok := i.Key.(sops.Comment); ok {
				item.Value = comment(c)
			} else if item.Value, err = toNode(i.Value); err != nil {
				return n, err
			} else {
				item.Key, _ = i.Key.(string)
			}
			n.Items = append(n.Items, item)
		}
		return n, nil
	case []any:
		n = wire.Node{Kind: wire.List, Items: make([]wire.Item, 0, len(v))}
		for _, i := range v {
			item, err := toNode(i)
			if err != nil {
				return n, err
			}
			n.Items = append(n.Items, wire.Item{Value: item})
		}
		return n, nil
	case sops.Comment:
		return comment(v), nil
	}
	return scalarNode(value)
}

func comment(c sops.Comment) wire.Node {
	n := wire.Node{Kind: wire.Comment, Text: secret.FromString(c.Value)}
	if c.Inline {
		n.Kind = wire.Inline
	}
	return n
}

func scalarNode(value any) (wire.Node, error) {
	text, err := sops.ToBytes(value)
	if err != nil {
		return wire.Node{}, wire.Fail{Code: wire.FailValueType}
	}
	kind := wire.String
	switch value.(type) {
	case int:
		kind = wire.Int
	case float64:
		kind = wire.Float
	case bool:
		kind = wire.Bool
	case time.Time:
		kind = wire.Time
	}
	return wire.Node{Kind: kind, Text: secret.New(text)}, nil
}

// fromNode gives the value as SOPS holds it.
func fromNode(n wire.Node) (any, error) {
	text := string(n.Text.Reveal())
	var (
		v   any
		err error
	)
	switch n.Kind {
	case wire.Null:
		return nil, nil
	case wire.String:
		return text, nil
	case wire.Int:
		v, err = strconv.Atoi(text)
	case wire.Float:
		v, err = strconv.ParseFloat(text, 64)
	case wire.Bool:
		v, err = strconv.ParseBool(text)
	case wire.Time:
		v, err = time.Parse(time.RFC3339, text)
	case wire.Comment, wire.Inline:
		return sops.Comment{Value: text, Inline: n.Kind == wire.Inline}, nil
	case wire.Map:
		return fromMap(n)
	case wire.List:
		list := make([]any, 0, len(n.Items))
		for _, i := range n.Items {
			item, err := fromNode(i.Value)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	}
	if err != nil {
		return nil, wire.Fail{Code: wire.FailValueType}
	}
	return v, nil
}

func fromMap(n wire.Node) (any, error) {
	b := make(sops.TreeBranch, 0, len(n.Items))
	names := map[string]struct{}{}
	for _, i := range n.Items {
		v, err := fromNode(i.Value)
		if err != nil {
			return nil, err
		}
		if c, ok := v.(sops.Comment); ok {
			b = append(b, sops.TreeItem{Key: c})
			continue
		}
		if _, twice := names[i.Key]; twice {
			return nil, wire.Fail{Code: wire.FailDuplicate}
		}
		names[i.Key] = struct{}{}
		b = append(b, sops.TreeItem{Key: i.Key, Value: v})
	}
	return b, nil
}
