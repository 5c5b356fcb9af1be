package vault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/kind"
)

// public are the types whose constants are names that others have written down: in vaults, exports, scripts and rules of their own.
var public = map[string][]string{
	".":       {"Status", "RunState", "Role", "WorkdirMode", "RotationStep", "Conflict", "ImportedAs", "SecretType", "Scope", "IntakeState", "AwaitedKind", "ApprovalState"},
	"audit":   {"Action", "Outcome", "ActorType"},
	"policy":  {"Level", "Delivery"},
	"id":      {"Kind", "TokenKind"},
	"../sync": {"Status"},

	"variable": {"Class", "State", "Problem", "Outcome"},
	"contract": {"Source", "Form"},
	"dotenv":   {"Reader"},
}

// Frozen names may grow, never change (docs/formats.md): a new one is added to the golden file, and no line of it ever goes.
func TestGoldenNames(t *testing.T) {
	var got []string
	for dir, types := range public {
		got = append(got, constantsOf(t, dir, types)...)
	}
	for _, k := range kind.All() {
		got = append(got, "kind "+k.Name)
		for _, f := range k.Fields {
			got = append(got, "kind "+k.Name+" field "+f.Name)
		}
	}
	slices.Sort(got)
	b, err := os.ReadFile(filepath.Join("..", "testdata", "formats", "names.golden"))
	must(t, err)
	want := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("the frozen name %q is gone", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s is a new public name: is it the one to keep for ever? Then add it to testdata/formats/names.golden", name)
		}
	}
}

// constantsOf reads the string constants of the types out of a package's source: what is declared, whether or not a list has it.
func constantsOf(t *testing.T, dir string, types []string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		must(t, err)
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if typ, ok := v.Type.(*ast.Ident); !ok || !slices.Contains(types, typ.Name) {
					continue
				}
				lit, ok := v.Values[0].(*ast.BasicLit)
				if !ok {
					continue
				}
				text, err := strconv.Unquote(lit.Value)
				must(t, err)
				names = append(names, f.Name.Name+"."+v.Type.(*ast.Ident).Name+" "+text)
			}
		}
	}
	if len(names) == 0 {
		t.Errorf("%s declares none of %v", dir, types)
	}
	return names
}
