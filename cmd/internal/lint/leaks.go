package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/packages"
)

// checkLeaks finds secrets on their way to people: revealed bytes, or a value that holds a Secret, given to a function that prints or makes an
// error; and revealed bytes compared in a time that depends on them.
func checkLeaks(t *Tree, r *Rules) (out []Finding) {
	for _, p := range t.Pkgs {
		for _, file := range p.Syntax {
			for _, decl := range file.Decls {
				out = append(out, t.leaksOf(r, p, decl)...)
			}
		}
	}
	return out
}

func (t *Tree) leaksOf(r *Rules, p *packages.Package, decl ast.Decl) (out []Finding) {
	f := newFlow(t, r, p.TypesInfo, decl)
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			out = append(out, t.leaksOfCall(r, f, n)...)
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (f.carries(n.X) || f.carries(n.Y)) && !f.constant(n.X) && !f.constant(n.Y) {
				out = append(out, t.at(n.Pos(), "revealed bytes compared with %s: use Secret.Equal or crypto/subtle", n.Op))
			}
		}
		return true
	})
	return out
}

func (t *Tree) leaksOfCall(r *Rules, f *flow, call *ast.CallExpr) (out []Finding) {
	name := f.callee(call)
	switch {
	case name == "bytes.Equal" || name == "bytes.Compare" || name == "strings.EqualFold" || name == "bytes.EqualFold":
		for _, a := range call.Args {
			if f.carries(a) {
				out = append(out, t.at(a.Pos(), "revealed bytes compared with %s: use Secret.Equal or crypto/subtle", name))
			}
		}
	case printer(name, r.Printers):
		for _, a := range call.Args {
			if f.carries(a) || f.reveals(a) {
				out = append(out, t.at(a.Pos(), "revealed bytes given to %s", name))
			} else if holdsSecret(t, r, f.info.TypeOf(a)) {
				out = append(out, t.at(a.Pos(), "%s is given %s, which holds a secret: it would print %s at best", name, types.ExprString(a), "[secret]"))
			}
		}
	}
	return out
}

// printer matches "pkg.Func" and "pkg.*", methods of the package's types included.
func printer(name string, list []string) bool {
	for _, p := range list {
		if pkg, all := strings.CutSuffix(p, "*"); p == name || all && strings.HasPrefix(name, pkg) {
			return true
		}
	}
	return false
}

// holdsSecret tells whether a value of type T is, or reaches by fields, pointers and elements, a Secret.
func holdsSecret(t *Tree, r *Rules, T types.Type) bool {
	seen := map[types.Type]bool{}
	var holds func(types.Type) bool
	holds = func(T types.Type) bool {
		if T == nil || seen[T] {
			return false
		}
		seen[T] = true
		if n, ok := types.Unalias(T).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Name() == "Secret" && t.short(n.Obj().Pkg().Path()) == r.Secret {
			return true
		}
		switch u := T.Underlying().(type) {
		case *types.Pointer:
			return holds(u.Elem())
		case *types.Slice:
			return holds(u.Elem())
		case *types.Array:
			return holds(u.Elem())
		case *types.Chan:
			return holds(u.Elem())
		case *types.Map:
			return holds(u.Key()) || holds(u.Elem())
		case *types.Struct:
			for i := range u.NumFields() {
				if holds(u.Field(i).Type()) {
					return true
				}
			}
		}
		return false
	}
	return holds(T)
}

// checkSecretType keeps the type itself honest: comparable, it would be compared with == somewhere, and leak by time.
func checkSecretType(t *Tree, r *Rules) (out []Finding) {
	for _, p := range t.Pkgs {
		if t.short(p.PkgPath) != r.Secret || p.Types == nil {
			continue
		}
		obj := p.Types.Scope().Lookup("Secret")
		if obj == nil {
			return []Finding{{File: r.Secret, Message: "no type Secret: name the one that took its place"}}
		}
		if types.Comparable(obj.Type()) {
			out = append(out, t.at(obj.Pos(), "Secret can be compared with ==: keep a field in it that cannot"))
		}
		if methods := types.NewMethodSet(obj.Type()); methods.Lookup(p.Types, reveal) == nil {
			out = append(out, t.at(obj.Pos(), "Secret has no method %s: name the one that took its place", reveal))
		}
	}
	return out
}
