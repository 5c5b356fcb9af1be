package contract

import (
	"bytes"
	"errors"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"io"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth is how deep a fragment nests: document, entries, an entry, a list, its items.
const maxDepth = 6

var yamlLine = lazyregexp.New(`line (\d+)`)

// document reads one YAML document into nodes: nothing is expanded, and nothing is converted.
func document(data []byte, p *problems) *yaml.Node {
	switch {
	case len(data) > MaxFragment:
		p.add(0, "it is larger than %d KiB", MaxFragment>>10)
		return nil
	case !utf8.Valid(data) || bytes.HasPrefix(data, []byte("\ufeff")) || bytes.ContainsFunc(data, forbidden):
		p.add(0, "it is not plain UTF-8 text")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		p.add(lineOf(err), "it is not YAML, or empty")
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		p.add(0, "it holds more than one YAML document")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		p.add(0, "it is empty")
		return nil
	}
	root := doc.Content[0]
	if !plain(root, p, 1) {
		return nil
	}
	return root
}

// forbidden are characters that hide in an editor: control characters and those that turn the direction of a line (a reviewer sees another contract than
// the one that is read).
func forbidden(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// lineOf takes the line number out of the parser's own words, and nothing else: they repeat what they read.
func lineOf(err error) int {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// plain refuses what makes YAML more than a tree of names, lists and texts.
func plain(n *yaml.Node, p *problems, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.add(n.Line, "anchors and aliases (& and *) are not allowed")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		p.add(n.Line, "tags (!) are not allowed")
		return false
	case depth > maxDepth:
		p.add(n.Line, "it nests too deep")
		return false
	}
	for _, c := range n.Content {
		if !plain(c, p, depth+1) {
			return false
		}
	}
	return true
}

// member is one name of a mapping, with its value.
type member struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// mapping gives the members of a mapping in their order; a name that is there twice is refused.
func mapping(n *yaml.Node, what string, p *problems) []member {
	if n.Kind != yaml.MappingNode {
		p.add(n.Line, "%s is a mapping of names to values", what)
		return nil
	}
	seen := make(map[string]bool, len(n.Content)/2)
	out := make([]member, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag != "!!str" {
			p.add(k.Line, "a name in %s is a plain text", what)
			continue
		}
		if seen[k.Value] {
			p.add(k.Line, "%s names the same thing twice", what)
			continue
		}
		seen[k.Value] = true
		out = append(out, member{k.Value, k, n.Content[i+1]})
	}
	return out
}

// text reads a string.
func text(n *yaml.Node, field string, p *problems) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		p.add(n.Line, "%s is a text: quote it", field)
		return ""
	}
	return n.Value
}

// truth reads true or false, and none of YAML's other words for them.
func truth(n *yaml.Node, field string, p *problems) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
		p.add(n.Line, "%s is true or false", field)
	}
	return n.Value == "true"
}
