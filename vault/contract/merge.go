package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Merge joins fragments. A variable that two of them declare must be the same in both, but for the order of lists: which of two would hold is nobody's to
// guess. Their order does not matter.
func Merge(fragments ...Fragment) (Contract, error) {
	p := &problems{}
	c := Contract{Format: Format, Owners: []string{}, Entries: map[string]Entry{}}
	if len(fragments) > MaxFragments {
		p.add(0, "there are more than %d fragments", MaxFragments)
		return Contract{}, p.err()
	}
	owner := map[string]string{}
	fragments = slices.Clone(fragments)
	slices.SortStableFunc(fragments, func(a, b Fragment) int { return strings.Compare(a.Owner, b.Owner) })
	for _, f := range fragments {
		if !slices.Contains(c.Owners, f.Owner) {
			c.Owners = append(c.Owners, f.Owner)
		}
		for _, name := range (Contract{Entries: f.Entries}).Names() {
			e := f.Entries[name]
			other, twice := c.Entries[name]
			if !twice {
				c.Entries[name], owner[name] = e, f.Owner
			} else if fields := differing(other, e); len(fields) > 0 {
				p.add(0, "%s is declared by %s and by %s, which differ in %s", name, owner[name], f.Owner, strings.Join(fields, ", "))
			}
		}
	}
	if len(c.Entries) > MaxEntries {
		p.add(0, "there are more than %d entries", MaxEntries)
	}
	c.checkReferences(p)
	if err := p.err(); err != nil {
		return Contract{}, err
	}
	return c, nil
}

// differing names the fields in which two entries differ, in order.
func differing(a, b Entry) (out []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			tag, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
			out = append(out, tag)
		}
	}
	return out
}

// checkReferences refuses templates that refer to what the contract does not have, in every environment of theirs, or to themselves.
func (c Contract) checkReferences(p *problems) {
	state := map[string]int{} // 1: being visited, 2: sound
	var visit func(name string) bool
	visit = func(name string) bool {
		if state[name] != 0 {
			return state[name] == 2
		}
		state[name] = 1
		defer func() { state[name] = 2 }()
		pieces, _ := ParseTemplate(c.Entries[name].Template)
		for _, piece := range pieces {
			if _, there := c.Entries[piece.Ref]; there && !visit(piece.Ref) {
				p.add(0, "%s refers to itself by way of %s", name, piece.Ref)
				return true // said once
			}
		}
		return true
	}
	for _, name := range c.Names() {
		e := c.Entries[name]
		pieces, _ := ParseTemplate(e.Template)
		for _, piece := range pieces {
			if piece.Ref == "" || strings.HasPrefix(piece.Ref, "@") || piece.Soft {
				continue
			}
			target, there := c.Entries[piece.Ref]
			if !there || !containsAll(target.Environments, e.Environments) {
				p.add(0, "%s refers to %s, which the contract does not declare for all of its environments", name, piece.Ref)
			}
		}
		visit(name)
	}
}

func containsAll(list, all []string) bool {
	return !slices.ContainsFunc(all, func(x string) bool { return !slices.Contains(list, x) })
}

// Canonical gives the one JSON form: compact, members in order, no HTML escapes. Equal contracts have equal bytes.
func (c Contract) Canonical() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil { // it holds texts and truth values only
		panic("contract: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Digest is SHA-256 of the canonical form, in hexadecimal.
func (c Contract) Digest() string {
	sum := sha256.Sum256(c.Canonical())
	return hex.EncodeToString(sum[:])
}
