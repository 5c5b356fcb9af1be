package home

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// pairs calls fn for every key and value below n with the key's full path, until fn gives false.
func pairs(n *yaml.Node, path string, fn func(path string, key, value *yaml.Node) bool) bool {
	if n == nil {
		return true
	}
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			if !pairs(c, path, fn) {
				return false
			}
		}
		return true
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
		if !fn(at, n.Content[i], n.Content[i+1]) || !pairs(n.Content[i+1], at, fn) {
			return false
		}
	}
	return true
}

// keyAt gives the path of the last key at or before a line; "" where it has not the shape of a key of ours (it might be a pasted secret).
func keyAt(tree *yaml.Node, line int) string {
	found := ""
	pairs(tree, "", func(path string, key, _ *yaml.Node) bool {
		if key.Line <= line {
			found = path
		}
		return true
	})
	for part := range strings.SplitSeq(found, ".") {
		if !keyShape.MatchString(part) {
			return ""
		}
	}
	return found
}

// lineOf finds where a key is given.
func lineOf(tree *yaml.Node, path string) (line int, ok bool) {
	pairs(tree, "", func(at string, key, _ *yaml.Node) bool {
		if at == path {
			line, ok = key.Line, true
		}
		return !ok
	})
	return line, ok
}

// anchored gives the line of the first anchor or alias; 0 where there is none.
func anchored(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n.Line
	}
	for _, c := range n.Content {
		if line := anchored(c); line > 0 {
			return line
		}
	}
	return 0
}
