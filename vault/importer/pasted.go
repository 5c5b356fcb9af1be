package importer

import (
	"index/suffixarray"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// spelt are values, each as it is and as a handle or a variable would spell it; what is shorter than what is ever masked, not.
type spelt struct{ raw, names map[string]struct{} }

func newSpelt() spelt { return spelt{map[string]struct{}{}, map[string]struct{}{}} }

// maxShown is how often values are found in the keys of a file before nobody looks further: a key of a million letters `a` holds each of a thousand values a million times.
const maxShown = 8 << 20

// add takes the values of a node: of a list also those in it, and with deep all below.
func (s spelt) add(n wire.Node, deep bool) {
	if n.Kind.Scalar() {
		v := string(peek(n.Text))
		if len(v) >= kind.MinRedacted {
			s.raw[v] = struct{}{}
		}
		if v = asVariable(v); len(v) >= kind.MinRedacted {
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
	asHandle showing = iota + 1 // as a handle is spelled; the name of a variable in capitals was chosen for a program, and stays one (Item.repeats)
	asIs
)

// is tells whether a key is one of the values and nothing else.
func (s spelt) is(key string) showing {
	if _, is := s.raw[key]; is {
		return asIs
	}
	if _, is := s.names[asVariable(key)]; !is {
		return 0
	}
	return bySpelling(key)
}

func bySpelling(key string) showing {
	if chosen(key) {
		return asHandle
	}
	return asIs
}

// chosen tells of a title that it is the name of a variable in capitals. In small letters a value may be written so, too.
func chosen(title string) bool { return variableOf(title) == title && title == strings.ToUpper(title) }

// pastedKeys finds the keys of a map that show a value: one beside them, or, where the key is nothing else, one anywhere in the file (all). Somebody pasted it there, and keys become names that models read.
// Files have a million keys and values: each value is looked for in all keys at once. room is how many more of them are looked at; where it is spent, every key is taken for one.
func pastedKeys(n wire.Node, all spelt, room *int) (pasted []showing) {
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
		put(asVariable(item.Key), i, bySpelling(item.Key))
		beside.add(item.Value, false)
	}
	if len(beside.raw)+len(beside.names) == 0 {
		return pasted
	}
	index := suffixarray.New(text)
	for _, values := range []map[string]struct{}{beside.raw, beside.names} {
		for v := range values {
			hits := index.Lookup([]byte(v), *room+1)
			if *room -= len(hits); *room < 0 {
				*room = 0
				for i := range pasted {
					pasted[i] = asIs
				}
				return pasted
			}
			for _, at := range hits {
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
