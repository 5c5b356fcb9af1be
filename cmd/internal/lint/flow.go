package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// flow follows revealed bytes through the variables of one declaration.
type flow struct {
	tree    *Tree
	rules   *Rules
	info    *types.Info
	tainted map[types.Object]bool
}

func newFlow(t *Tree, r *Rules, info *types.Info, decl ast.Decl) *flow {
	f := &flow{t, r, info, map[types.Object]bool{}}
	for before := -1; before != len(f.tainted); { // until nothing new: a loop may carry a value back
		before = len(f.tainted)
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				f.assign(n.Lhs, n.Rhs)
			case *ast.ValueSpec:
				names := make([]ast.Expr, len(n.Names))
				for i, id := range n.Names {
					names[i] = id
				}
				f.assign(names, n.Values)
			}
			return true
		})
	}
	return f
}

func (f *flow) assign(left, right []ast.Expr) {
	for i, l := range left {
		var from ast.Expr
		switch {
		case len(right) == len(left):
			from = right[i]
		case len(right) == 1:
			from = right[0]
		default:
			continue
		}
		id, ok := l.(*ast.Ident)
		if !ok || !f.carries(from) {
			continue
		}
		if obj := f.info.ObjectOf(id); obj != nil && textual(obj.Type()) {
			f.tainted[obj] = true
		}
	}
}

// textual tells whether a value of type T can hold the bytes: string, []byte, and slices of them.
func textual(T types.Type) bool {
	switch u := T.Underlying().(type) {
	case *types.Basic:
		return u.Info()&types.IsString != 0 || u.Kind() == types.Byte
	case *types.Slice:
		return textual(u.Elem())
	case *types.Array:
		return textual(u.Elem())
	}
	return false
}

// carries tells whether e is revealed bytes, whole or in part, maybe in another shape.
func (f *flow) carries(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return f.tainted[f.info.ObjectOf(e)]
	case *ast.SliceExpr:
		return f.carries(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (f.carries(e.X) || f.carries(e.Y))
	case *ast.CallExpr:
		if f.isReveal(e) {
			return true
		}
		if !f.passes(e) {
			return false
		}
		return slices.ContainsFunc(e.Args, f.carries)
	}
	return false
}

// passes tells whether a call gives back what it was given: a conversion, append, or a function of a carrier package.
func (f *flow) passes(call *ast.CallExpr) bool {
	T, ok := f.info.Types[call]
	if !ok || T.Type == nil || !returnsText(T.Type) {
		return false
	}
	if f.info.Types[call.Fun].IsType() || f.callee(call) == "builtin.append" {
		return true
	}
	fn := f.function(call)
	return fn != nil && fn.Pkg() != nil && slices.Contains(f.rules.Carriers, fn.Pkg().Path())
}

func returnsText(T types.Type) bool {
	if tuple, ok := T.(*types.Tuple); ok {
		return tuple.Len() > 0 && textual(tuple.At(0).Type())
	}
	return textual(T)
}

// reveals tells whether a call of Reveal stands anywhere in e.
func (f *flow) reveals(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && f.isReveal(call) {
			found = true
		}
		return !found
	})
	return found
}

func (f *flow) isReveal(call *ast.CallExpr) bool {
	return f.callee(call) == f.rules.Secret+".Secret."+reveal
}

func (f *flow) constant(e ast.Expr) bool {
	v := f.info.Types[e]
	return v.Value != nil || v.IsNil()
}

// callee names what is called, as funcName does; "builtin.x" for builtins, "" for a function value.
func (f *flow) callee(call *ast.CallExpr) string {
	if fn := f.function(call); fn != nil {
		return f.tree.funcName(fn)
	}
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := f.info.Uses[id].(*types.Builtin); ok {
			return "builtin." + b.Name()
		}
	}
	return ""
}

func (f *flow) function(call *ast.CallExpr) *types.Func {
	var id *ast.Ident
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		id = fun
	case *ast.SelectorExpr:
		id = fun.Sel
	default:
		return nil
	}
	fn, _ := f.info.Uses[id].(*types.Func)
	return fn
}
