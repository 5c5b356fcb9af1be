package main

import (
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// matches tells whether a short path (see Tree.short) fits one of the patterns.
func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return compile(p).MatchString(path) })
}

var compiled = map[string]*regexp.Regexp{}

// compile reads a pattern as go list does: "..." is any text, and "x/..." takes in x itself.
func compile(p string) *regexp.Regexp {
	if re, ok := compiled[p]; ok {
		return re
	}
	q := regexp.QuoteMeta(p)
	if rest, ok := strings.CutSuffix(q, `/\.\.\.`); ok && rest != `\.` {
		q = rest + `(/.*)?`
	}
	re := regexp.MustCompile("^" + strings.ReplaceAll(q, `\.\.\.`, `.*`) + "$")
	compiled[p] = re
	return re
}

// graph is the imports of this module's packages, all platforms together: short path → short path → where it is written.
type graph map[string]map[string]token.Pos

func (t *Tree) graph() graph {
	g := graph{}
	for _, p := range t.Pkgs {
		from := t.short(p.PkgPath)
		if g[from] == nil {
			g[from] = map[string]token.Pos{}
		}
		for path, pos := range importsOf(p) {
			g[from][t.short(path)] = pos
		}
	}
	return g
}

func importsOf(p *packages.Package) map[string]token.Pos {
	m := map[string]token.Pos{}
	for _, f := range p.Syntax {
		for _, s := range f.Imports {
			if path, err := strconv.Unquote(s.Path.Value); err == nil {
				m[path] = s.Pos()
			}
		}
	}
	return m
}

// chain finds the shortest way from one package to one that is forbidden, nil if there is none.
func (g graph) chain(from string, forbidden func(string) bool) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, to := range sortedKeys(g[queue[0]]) {
			if _, seen := before[to]; seen {
				continue
			}
			before[to] = queue[0]
			if forbidden(to) {
				way := []string{to}
				for at := queue[0]; at != ""; at = before[at] {
					way = append(way, at)
				}
				slices.Reverse(way)
				return way
			}
			queue = append(queue, to)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func checkImports(t *Tree, r *Rules) (out []Finding) {
	g := t.graph()
	for _, from := range sortedKeys(g) {
		for _, d := range append(slices.Clone(r.Deny), testOnly(r)...) {
			if !matches(from, d.From) || matches(from, d.Not) {
				continue
			}
			forbidden := func(to string) bool { return to != from && matches(to, d.To) && !matches(to, d.Except) }
			if d.Direct {
				out = append(out, t.direct(g[from], from, forbidden, d.Why)...)
			} else if way := g.chain(from, forbidden); way != nil {
				out = append(out, t.at(g[from][way[1]], "%s: %s", strings.Join(way, " → "), d.Why))
			}
		}
		for _, o := range r.Only {
			if !matches(from, o.By) {
				out = append(out, t.direct(g[from], from, func(to string) bool { return to != from && matches(to, o.To) }, o.Why)...)
			}
		}
	}
	return out
}

func (t *Tree) direct(imports map[string]token.Pos, from string, forbidden func(string) bool, why string) (out []Finding) {
	for _, to := range sortedKeys(imports) {
		if forbidden(to) {
			out = append(out, t.at(imports[to], "%s → %s: %s", from, to, why))
		}
	}
	return out
}

// testOnly turns the two lists into one rule.
func testOnly(r *Rules) []Deny {
	return []Deny{{From: []string{"./..."}, To: r.TestOnly, Not: r.TestRooms, Direct: true, Why: "only tests may link this"}}
}
