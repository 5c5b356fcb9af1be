package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checkLength keeps files short: one noun a file.
func checkLength(t *Tree, r *Rules) (out []Finding) {
	for _, name := range t.Files {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(t.Root, name))
		if err != nil {
			continue
		}
		if n := bytes.Count(b, []byte("\n")); n > r.MaxLines {
			out = append(out, t.in(name, 0, "%d lines, more than %d: split by noun", n, r.MaxLines))
		}
	}
	return out
}

// checkLayout keeps the rooms: no new top-level folder, no package whose name says nothing.
func checkLayout(t *Tree, r *Rules) (out []Finding) {
	seen := map[string]bool{}
	for _, name := range t.Files {
		top, _, nested := strings.Cut(name, "/")
		if nested && !seen[top] && !slices.Contains(r.Folders, top) {
			out = append(out, t.in(top, 0, "no such room: the top-level folders are %s", strings.Join(r.Folders, " ")))
		}
		seen[top] = true
	}
	for _, p := range t.Pkgs {
		if slices.Contains(r.BadNames, p.Name) && len(p.Syntax) > 0 {
			out = append(out, t.at(p.Syntax[0].Name.Pos(), "package %s: name it after what it holds", p.Name))
		}
	}
	return out
}

// checkWords reads every text file for words that must not be there, and for the package registries that this machine is set to.
func checkWords(t *Tree, r *Rules) (out []Finding) {
	words := compileWords(append(slices.Clone(r.Words), localRegistries(os.Getenv)...))
	for _, name := range t.Files {
		if slices.ContainsFunc(r.Exempt, func(e Exemption) bool { ok, _ := path.Match(e.File, name); return ok }) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(t.Root, name))
		if err != nil || bytes.IndexByte(b, 0) >= 0 { // binary
			continue
		}
		for n, line := range strings.Split(string(b), "\n") {
			for _, w := range words {
				if m := w.re.FindStringSubmatch(line); m != nil {
					out = append(out, t.in(name, n+1, "%q: %s", m[len(m)-1], w.why))
				}
			}
		}
	}
	return out
}

type word struct {
	re  *regexp.Regexp
	why string
}

func compileWords(list []Word) (words []word) {
	for _, w := range list {
		words = append(words, word{regexp.MustCompile(w.Pattern), w.Why})
	}
	return words
}

// publicRegistries may be named anywhere.
var publicRegistries = []string{"proxy.golang.org", "sum.golang.org", "registry.npmjs.org", "pypi.org", "deb.debian.org"}

var hostOf = regexp.MustCompile(`https?://(?:[^/@,|\s]*@)?([^/:,|\s]+)`)

// localRegistries reads the hosts of the package registries in the environment: they are a workplace's, and not the product's business.
func localRegistries(env func(string) string) (list []Word) {
	for _, key := range []string{"GOPROXY", "GOSUMDB", "NPM_CONFIG_REGISTRY", "npm_config_registry", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL"} {
		for _, m := range hostOf.FindAllStringSubmatch(env(key), -1) {
			if !slices.Contains(publicRegistries, m[1]) {
				list = append(list, Word{regexp.QuoteMeta(m[1]), "a package registry of somebody's workplace"})
			}
		}
	}
	return list
}

// checkSkips finds tests that give up: a skipped test is one that CI does not need, or a gap that nobody sees.
func checkSkips(t *Tree, _ *Rules) (out []Finding) {
	for _, name := range t.Files {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "/testdata/") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(t.Root, name), nil, parser.SkipObjectResolution)
		if err != nil || !slices.ContainsFunc(file.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"testing"` }) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && skips(sel) {
				out = append(out, t.in(name, set.Position(sel.Pos()).Line, "%s: a test that CI needs is never skipped; long ones ask for ZAVHOZ_LONG and shrink", sel.Sel.Name))
			}
			return true
		})
	}
	return out
}

// skips knows t.Skip and its like by the receiver's usual names, and testing.Short.
func skips(sel *ast.SelectorExpr) bool {
	var recv string
	switch x := sel.X.(type) {
	case *ast.Ident:
		recv = x.Name
	case *ast.SelectorExpr:
		recv = x.Sel.Name
	}
	switch sel.Sel.Name {
	case "Skip", "Skipf", "SkipNow":
		return slices.Contains([]string{"t", "b", "f", "tb", "T", "B", "F", "TB"}, recv)
	case "Short":
		return recv == "testing"
	}
	return false
}
