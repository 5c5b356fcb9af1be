package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// maxYAML is the largest plain YAML file, in bytes: its library makes a node of every second byte, if the file is made for that.
const maxYAML = 4 << 20

var (
	errDeep  = fault.New(fault.TooLarge, "the file is nested deeper than 64 levels, or has more than a million values", "")
	errTwice = broken("a name is there twice, of which programs take different ones", "remove one of the two")
)

// ParseJSON reads one JSON value; every scalar is a secret. Errors: invalid_argument (syntax, a name that is there twice), too_large.
func ParseJSON(b []byte) (wire.Node, error) {
	p := parser{json: json.NewDecoder(bytes.NewReader(b))}
	p.json.UseNumber()
	n, err := p.next(0)
	if err == nil {
		if _, tail := p.json.Token(); !errors.Is(tail, io.EOF) {
			err = broken("something follows the JSON value", "give one JSON file")
		}
	}
	if err != nil {
		n.Wipe()
		return wire.Node{}, syntax(err, "JSON")
	}
	return n, nil
}

// syntax gives a fault of ours; a library's text may hold a piece of the file.
func syntax(err error, what string) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	return broken("the file is no valid "+what, "--format says what it is, where it is something else").Because(err)
}

type parser struct {
	json  *json.Decoder
	nodes int
}

func (p *parser) count(depth int) error {
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		return errDeep
	}
	return nil
}

func (p *parser) next(depth int) (wire.Node, error) {
	if err := p.count(depth); err != nil {
		return wire.Node{}, err
	}
	t, err := p.json.Token()
	if err != nil {
		return wire.Node{}, err
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return p.object(depth)
		}
		n := wire.Node{Kind: wire.List}
		for p.json.More() {
			child, err := p.next(depth + 1)
			n.Items = append(n.Items, wire.Item{Value: child})
			if err != nil {
				return n, err
			}
		}
		_, err := p.json.Token()
		return n, err
	case string:
		return scalar(wire.String, v), nil
	case json.Number:
		return scalar(wire.Float, v.String()), nil
	case bool:
		return scalar(wire.Bool, fmt.Sprint(v)), nil
	}
	return wire.Node{Kind: wire.Null}, nil
}

func scalar(k wire.Kind, text string) wire.Node {
	return wire.Node{Kind: k, Text: secret.FromString(text)}
}

func (p *parser) object(depth int) (wire.Node, error) {
	n, seen := wire.Node{Kind: wire.Map}, map[string]bool{}
	for p.json.More() {
		t, err := p.json.Token()
		if err != nil {
			return n, err
		}
		key, ok := t.(string)
		if !ok || seen[key] {
			return n, errTwice
		}
		seen[key] = true
		child, err := p.next(depth + 1)
		n.Items = append(n.Items, wire.Item{Key: key, Value: child})
		if err != nil {
			return n, err
		}
	}
	_, err := p.json.Token()
	return n, err
}

// ParseYAML reads one document of YAML without anchors and tags of its own. Errors: as ParseJSON.
func ParseYAML(b []byte) (n wire.Node, err error) {
	if len(b) > maxYAML {
		return n, fault.New(fault.TooLarge, "the YAML file is larger than 4 MiB", "import it in parts, or as JSON")
	}
	defer func() {
		if recover() != nil { // a defect of its library, on a file that was made for it
			n, err = wire.Node{}, broken("the file is no valid YAML", "")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return wire.Node{Kind: wire.Map}, nil
	} else if err != nil {
		return n, syntax(err, "YAML")
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return n, fault.New(fault.NotSupported, "the file has several YAML documents", "keep one document a file")
	}
	if len(doc.Content) != 1 {
		return n, broken("the file is no valid YAML", "")
	}
	p := parser{}
	if n, err = p.yaml(doc.Content[0], 0); err != nil {
		n.Wipe()
		return wire.Node{}, err
	}
	return n, nil
}

func (p *parser) yaml(y *yaml.Node, depth int) (n wire.Node, err error) {
	if err := p.count(depth); err != nil {
		return n, err
	}
	if y.Anchor != "" || y.Kind == yaml.AliasNode {
		return n, fault.New(fault.NotSupported, "the file has YAML anchors or aliases", "write the values out")
	}
	switch y.Kind {
	case yaml.MappingNode:
		return p.mapping(y, depth)
	case yaml.SequenceNode:
		n.Kind = wire.List
		for _, c := range y.Content {
			child, err := p.yaml(c, depth+1)
			n.Items = append(n.Items, wire.Item{Value: child})
			if err != nil {
				return n, err
			}
		}
		return n, nil
	}
	switch y.ShortTag() {
	case "!!null":
		return wire.Node{Kind: wire.Null}, nil
	case "!!bool":
		return scalar(wire.Bool, strings.ToLower(y.Value)), nil
	case "!!int", "!!float": // as written: a number with leading zeros is a password
		return scalar(wire.Float, y.Value), nil
	}
	return scalar(wire.String, y.Value), nil
}

func (p *parser) mapping(y *yaml.Node, depth int) (wire.Node, error) {
	n, seen := wire.Node{Kind: wire.Map}, map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			return n, errTwice
		}
		seen[key.Value] = true
		child, err := p.yaml(y.Content[i+1], depth+1)
		n.Items = append(n.Items, wire.Item{Key: key.Value, Value: child})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
