package main

import (
	"bufio"
	"bytes"
	"errors"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// reveal is the method that gives the bytes of a secret.
const reveal = "Reveal"

// entry is one line of the list: "pkg.Func # why the bytes are truly used there".
type entry struct {
	line int
	used bool
}

// checkReveal compares who mentions Secret.Reveal with the list: an unknown caller, a line without a reason and a line that nobody needs fail.
func checkReveal(t *Tree, r *Rules) (out []Finding) {
	list, out := readRevealList(t, r)
	for _, p := range t.Pkgs {
		t.eachUse(p, func(u use) {
			if t.funcName(u.fn) != r.Secret+".Secret."+reveal {
				return
			}
			name := strings.TrimPrefix(u.caller, "./")
			if e := list[name]; e != nil {
				e.used = true
				return
			}
			out = append(out, t.at(u.at.Pos(), "%s reveals a secret and is not in %s", name, r.RevealList))
		})
		out = append(out, t.hiddenReveals(p.Syntax)...)
	}
	for name, e := range list {
		if !e.used {
			out = append(out, Finding{File: r.RevealList, Line: e.line, Message: name + " reveals nothing (any more): remove the line"})
		}
	}
	return out
}

// hiddenReveals finds interfaces with the method: through one, Reveal is called under another name than the list knows.
func (t *Tree) hiddenReveals(files []*ast.File) (out []Finding) {
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			i, ok := n.(*ast.InterfaceType)
			if !ok {
				return true
			}
			for _, m := range i.Methods.List {
				for _, name := range m.Names {
					if name.Name == reveal {
						out = append(out, t.at(name.Pos(), "an interface with %s hides who reveals", reveal))
					}
				}
			}
			return true
		})
	}
	return out
}

func readRevealList(t *Tree, r *Rules) (map[string]*entry, []Finding) {
	list := map[string]*entry{}
	b, err := os.ReadFile(filepath.Join(t.Root, r.RevealList))
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil // then every caller is unknown
	}
	if err != nil {
		return list, []Finding{{File: r.RevealList, Message: err.Error()}}
	}
	var out []Finding
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		name, why, _ := strings.Cut(lines.Text(), "#")
		name = strings.TrimSpace(name)
		switch {
		case name == "":
		case strings.TrimSpace(why) == "":
			out = append(out, Finding{File: r.RevealList, Line: n, Message: name + " gives no reason after #"})
			list[name] = &entry{line: n, used: true}
		case list[name] != nil:
			out = append(out, Finding{File: r.RevealList, Line: n, Message: name + " is listed twice"})
		default:
			list[name] = &entry{line: n}
		}
	}
	return list, out
}
