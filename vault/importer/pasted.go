package importer

import (
	"index/suffixarray"
	"slices"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// spelt are values, each as it is and as a handle or a variable would spell it; what is shorter than what is ever masked, not.
type spelt struct{ raw, names map[string]struct{} }

func newSpelt() spelt { return spelt{map[string]struct{}{}, map[string]struct{}{}} }

// add takes the values of a node: of a list also those in it, and with deep all below.
func (s spelt) add(n wire.Node, deep bool) {
	if n.Kind.Scalar() {
		v := string(peek(n.Text))
		if len(v) >= kind.MinRedacted {
			s.raw[v] = struct{}{}
		}
		if v = inVariables.Replace(spelled(v)); len(v) >= kind.MinRedacted {
			s.names[v] = struct{}{}
		}
	}
	if n.Kind == wire.List || deep {
		for _, item := range n.Items {
			s.add(item.Value, deep)
		}
	}
}

// showing is how much of a value a name shows.
type showing int

const (
	asHandle showing = iota + 1 // as a handle is spelled; a name that is a variable's already was chosen for a program, and stays one (Item.repeats)
	asIs
)

// is tells whether a key is one of the values and nothing else.
func (s spelt) is(key string) showing {
	if _, is := s.raw[key]; is {
		return asIs
	}
	if _, is := s.names[inVariables.Replace(spelled(key))]; !is {
		return 0
	}
	return bySpelling(key)
}

func bySpelling(key string) showing {
	if variableOf(key) == key {
		return asHandle
	}
	return asIs
}

// pastedKeys finds the keys of a map that show a value: one beside them, or, where the key is nothing else, one anywhere in the file (all). Somebody pasted it there, and keys become names that models read.
// Files have a million keys and values: each value is looked for in all keys at once.
func pastedKeys(n wire.Node, all spelt) (pasted []showing) {
	pasted = make([]showing, len(n.Items))
	if n.Kind != wire.Map {
		return pasted
	}
	var text []byte // the keys, and their spellings, one after another
	var parts []part
	put := func(what string, item int, shows showing) {
		text = append(append(text, what...), 0)
		parts = append(parts, part{len(text), item, shows})
	}
	beside := newSpelt()
	for i, item := range n.Items {
		pasted[i] = all.is(item.Key)
		put(item.Key, i, asIs)
		put(inVariables.Replace(spelled(item.Key)), i, bySpelling(item.Key))
		beside.add(item.Value, false)
	}
	if len(beside.raw)+len(beside.names) == 0 {
		return pasted
	}
	index := suffixarray.New(text)
	for _, values := range []map[string]struct{}{beside.raw, beside.names} {
		for v := range values {
			for _, at := range index.Lookup([]byte(v), -1) {
				i, _ := slices.BinarySearchFunc(parts, at, func(p part, at int) int { return p.end - 1 - at })
				p := parts[min(i, len(parts)-1)]
				pasted[p.item] = max(pasted[p.item], p.shows)
			}
		}
	}
	return pasted
}

// part is a piece of the text of all keys: where it ends, whose it is, and how it shows what is found in it.
type part struct {
	end, item int
	shows     showing
}
