package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// minEssay is the least number of lines that can state a promise and the attack it stops.
const minEssay = 3

// in makes a finding at a line of a file.
func (t *Tree) in(file string, line int, format string, args ...any) Finding {
	return Finding{File: file, Line: line, Message: fmt.Sprintf(format, args...)}
}

// checkDocs wants a doc comment on every exported name and an essay on every package.
func checkDocs(t *Tree, _ *Rules) (out []Finding) {
	essays := map[string]int{} // by folder: platforms see different files of one package
	for _, p := range t.Pkgs {
		for _, file := range p.Syntax {
			dir := t.folder(file.Pos())
			essays[dir] = max(essays[dir], essayLines(file))
			for _, decl := range file.Decls {
				out = append(out, t.undocumented(p, decl)...)
			}
		}
	}
	for dir, n := range essays {
		if n < minEssay {
			out = append(out, t.in(dir, 0, "the package comment has %d lines: state the promise and the attack it stops", n))
		}
	}
	return out
}

func (t *Tree) folder(pos token.Pos) string {
	return relative(t.Root, filepath.Dir(t.fset.Position(pos).Filename))
}

func essayLines(f *ast.File) (n int) {
	if f.Doc == nil {
		return 0
	}
	for _, line := range strings.Split(f.Doc.Text(), "\n") {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return n
}

func (t *Tree) undocumented(p *packages.Package, decl ast.Decl) (out []Finding) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			out = append(out, t.at(d.Pos(), "%s has no doc comment", strings.TrimPrefix(t.callerName(p, d), "./")))
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			out = append(out, t.undocumentedSpec(d, s)...)
		}
	}
	return out
}

// exportedReceiver leaves out methods of types that nobody outside can name.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	T := d.Recv.List[0].Type
	for {
		switch x := T.(type) {
		case *ast.StarExpr:
			T = x.X
		case *ast.IndexExpr:
			T = x.X
		case *ast.IndexListExpr:
			T = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// undocumentedSpec takes a comment on the group for all its constants or variables, never for types.
func (t *Tree) undocumentedSpec(d *ast.GenDecl, s ast.Spec) []Finding {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			return []Finding{t.at(s.Pos(), "%s has no doc comment", s.Name.Name)}
		}
	case *ast.ValueSpec:
		i := slices.IndexFunc(s.Names, (*ast.Ident).IsExported)
		if i >= 0 && s.Doc == nil && s.Comment == nil && d.Doc == nil {
			return []Finding{t.at(s.Pos(), "%s has no doc comment", s.Names[i].Name)}
		}
	}
	return nil
}
