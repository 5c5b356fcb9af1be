package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	citedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*\\*?)`")
	citedFile = regexp.MustCompile("`(testdata/[^`]*)`")
)

// checkCites keeps documents true: a test or a fixture that a page names exists. `TestX_*` stands for any test that begins so.
func checkCites(t *Tree, _ *Rules) (out []Finding) {
	tests := t.tests()
	for _, name := range t.Files {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for n, line := range t.lines(name) {
			for _, m := range citedTest.FindAllStringSubmatch(line, -1) {
				if !known(tests, m[1]) {
					out = append(out, t.in(name, n+1, "there is no test %s", m[1]))
				}
			}
			for _, m := range citedFile.FindAllStringSubmatch(line, -1) {
				path := strings.TrimSuffix(m[1], "/")
				if !slices.ContainsFunc(t.Files, func(f string) bool { return f == path || strings.HasPrefix(f, path+"/") }) {
					out = append(out, t.in(name, n+1, "there is no %s", m[1]))
				}
			}
		}
	}
	return out
}

func known(tests map[string]bool, cited string) bool {
	begin, open := strings.CutSuffix(cited, "*")
	if !open {
		return tests[cited]
	}
	for name := range tests {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// tests gives the names of all test and fuzz functions, of every platform.
func (t *Tree) tests() map[string]bool {
	names := map[string]bool{}
	for _, name := range t.Files {
		if !strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(t.Root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			continue // said by the load check
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// lines reads a text file of the tree; nil if it cannot be read.
func (t *Tree) lines(name string) []string {
	b, err := os.ReadFile(filepath.Join(t.Root, name))
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\n")
}

// rows reads the tables of a Markdown page: line number → cells, trimmed. Rules (---) are left out.
func (t *Tree) rows(name string) map[int][]string {
	rows := map[int][]string{}
	for n, line := range t.lines(name) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[n+1] = cells
	}
	return rows
}
