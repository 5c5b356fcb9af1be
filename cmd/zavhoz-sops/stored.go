package main

import (
	"maps"
	"strconv"
	"strings"

	"github.com/getsops/sops/v3"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// stored says of each leaf of a tree, by its place, whether it stands encrypted in the file. What a file says of its encryption is authenticated by nothing
// but this: who has no key can change the rules so that all that is there still opens, and what is written next stays in clear.
type stored map[string]bool

// place joins a path in a way that no key can feign.
func place(above, key string) string { return above + strconv.Itoa(len(key)) + ":" + key }

func placeOf(path []string) (at string) {
	for _, p := range path {
		at = place(at, p)
	}
	return at
}

// storedIn looks at a tree as the file has it: before its values are opened, or after they are sealed. An empty text is never encrypted.
func storedIn(b sops.TreeBranches) stored {
	s := stored{}
	for i, doc := range b {
		s.look(documentPlace(i), doc)
	}
	return s
}

func documentPlace(i int) string {
	if i == 0 {
		return "" // where changes are made
	}
	return "document " + strconv.Itoa(i)
}

func (s stored) look(at string, value any) {
	switch v := value.(type) {
	case nil, sops.Comment:
	case sops.TreeBranch:
		for _, i := range v {
			if key, ok := i.Key.(string); ok {
				s.look(place(at, key), i.Value)
			}
		}
	case []any:
		n := 0
		for _, i := range v {
			if _, comment := i.(sops.Comment); !comment {
				s.look(place(at, strconv.Itoa(n)), i)
				n++
			}
		}
	case string:
		s[at] = strings.HasPrefix(v, encHead)
	default:
		s[at] = false
	}
}

// mark notes on the values that were opened how they stood.
func (s stored) mark(at string, n *wire.Node) {
	if n.Kind.Scalar() {
		n.Sealed = s[at]
		return
	}
	i := 0
	for j := range n.Items {
		item := &n.Items[j]
		if item.Value.Kind.IsComment() {
			continue
		}
		key := item.Key
		if n.Kind == wire.List {
			key = strconv.Itoa(i)
		}
		s.mark(place(at, key), &item.Value)
		i++
	}
}

// require notes what below n has to be encrypted.
func (s stored) require(at string, n wire.Node) {
	if n.Kind.Scalar() {
		if n.Sealed && n.Text.Len() > 0 {
			s[at] = true
		}
		return
	}
	i := 0
	for _, item := range n.Items {
		if item.Value.Kind.IsComment() {
			continue
		}
		key := item.Key
		if n.Kind == wire.List {
			key = strconv.Itoa(i)
		}
		s.require(place(at, key), item.Value)
		i++
	}
}

// settle compares a tree that was sealed with how it stood, and with what was required. touched are the places that were changed: all that lies below may
// have come to be encrypted, elsewhere that would give what anybody could write the look of what the key holder wrote.
func (s *session) settle() error {
	now := storedIn(s.tree.Branches)
	for at := range s.required {
		if !now[at] {
			return wire.Fail{Code: wire.FailClear}
		}
	}
	for at, is := range now {
		was, there := s.stored[at]
		if !there || was == is || s.emptied(at, was) {
			continue
		}
		if was || !s.within(at) {
			return wire.Fail{Code: wire.FailClear}
		}
	}
	return nil
}

// emptied tells whether a leaf that was encrypted was changed to an empty text, which SOPS never encrypts.
func (s *session) emptied(at string, was bool) bool { return was && s.empty[at] }

func (s *session) within(at string) bool {
	for _, t := range s.touched {
		if strings.HasPrefix(at, t) {
			return true
		}
	}
	return false
}

// note takes a change down for settle.
func (s *session) note(c wire.Change) {
	at := placeOf(c.Path)
	s.touched = append(s.touched, at)
	if c.Unset {
		maps.DeleteFunc(s.required, func(r string, _ bool) bool { return strings.HasPrefix(r, at) })
		return
	}
	s.required.require(at, c.Value)
	if c.Value.Kind == wire.String && c.Value.Text.Len() == 0 {
		s.empty[at] = true
	}
}

// forget leaves nothing of a file.
func (s *session) forget() {
	s.tree, s.cipher, s.stored, s.required, s.empty, s.touched = nil, nil, nil, stored{}, stored{}, nil
}
