package main

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/packages"
)

// use is one mention of a function: a call, a method value or a method expression. Any of them hands the function on.
type use struct {
	at     ast.Node
	fn     *types.Func
	caller string // "./pkg.Func", "./pkg.(*T).Method"; "./pkg.(var)" outside functions
}

// eachUse walks every mention of a function in p.
func (t *Tree) eachUse(p *packages.Package, visit func(use)) {
	for _, file := range p.Syntax {
		for _, decl := range file.Decls {
			caller := t.callerName(p, decl)
			ast.Inspect(decl, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if fn, ok := p.TypesInfo.Uses[id].(*types.Func); ok {
						visit(use{id, fn, caller})
					}
				}
				return true
			})
		}
	}
}

func (t *Tree) callerName(p *packages.Package, decl ast.Decl) string {
	if d, ok := decl.(*ast.FuncDecl); ok {
		if fn, ok := p.TypesInfo.Defs[d.Name].(*types.Func); ok {
			return t.funcName(fn)
		}
	}
	return t.short(p.PkgPath) + ".(var)"
}

// funcName writes fn as the tables do: "./pkg.Func", "./pkg.(*T).Method", "./pkg.T.Method".
func (t *Tree) funcName(fn *types.Func) string {
	if fn.Pkg() == nil {
		return "builtin." + fn.Name() // error.Error
	}
	pkg := t.short(fn.Pkg().Path())
	sig, ok := fn.Type().(*types.Signature)
	if !ok || sig.Recv() == nil {
		return pkg + "." + fn.Name()
	}
	recv := types.TypeString(types.Unalias(sig.Recv().Type()), func(*types.Package) string { return "" })
	recv, _, _ = strings.Cut(recv, "[") // type parameters
	if strings.HasPrefix(recv, "*") {
		recv = "(" + recv + ")"
	}
	return pkg + "." + recv + "." + fn.Name()
}

// checkCallers keeps listed functions to their listed callers. A function of ours that is gone fails too: else a rename would end the rule.
func checkCallers(t *Tree, r *Rules) (out []Finding) {
	for _, rule := range r.Functions {
		known := !strings.HasPrefix(rule.Name, "./")
		for _, p := range t.Pkgs {
			known = known || t.declares(p, rule.Name)
			if matches(t.short(p.PkgPath), rule.By) {
				continue
			}
			t.eachUse(p, func(u use) {
				if t.funcName(u.fn) == rule.Name {
					out = append(out, t.at(u.at.Pos(), "%s uses %s: %s", u.caller, rule.Name, rule.Why))
				}
			})
		}
		if !known {
			out = append(out, Finding{File: "cmd/internal/lint/rules.go", Message: "no function " + rule.Name + ": name the one that took its place"})
		}
	}
	return out
}

func (t *Tree) declares(p *packages.Package, name string) bool {
	for _, file := range p.Syntax {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && t.callerName(p, d) == name {
				return true
			}
		}
	}
	return false
}
