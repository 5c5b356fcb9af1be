package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/packages"
)

// Tree is what the checks read: the files of the repository, and its packages with types, once a platform.
type Tree struct {
	Root   string
	Module string
	Files  []string // known to git or about to be, with slashes; those deleted in the work tree are left out
	Pkgs   []*packages.Package
	Tests  []*packages.Package // the same with their tests; only what does not compile is looked for there
	fset   *token.FileSet
}

func load(dir string, on []string, leave string) (*Tree, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	t := &Tree{Root: root, fset: token.NewFileSet()}
	if t.Module, err = moduleOf(root); err != nil {
		return nil, err
	}
	if t.Files, err = listFiles(root); err != nil {
		return nil, err
	}
	files := parsed{inside: root + string(filepath.Separator)}
	for _, platform := range on {
		if err := t.loadFor(platform, &files, leave); err != nil {
			return nil, fmt.Errorf("loading for %s: %w", platform, err)
		}
	}
	if len(t.Pkgs) == 0 {
		return nil, errors.New("no packages: is this the root of the module?")
	}
	return t, nil
}

// without gives patterns for all packages of a platform but one, which is written as "./x"; "" is none.
func (t *Tree) without(leave string, env []string) (most []string, err error) {
	if leave == "" {
		return []string{"./..."}, nil
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName, Dir: t.Root, Env: env}, "./...")
	for _, p := range pkgs {
		if t.short(p.PkgPath) != leave {
			most = append(most, p.PkgPath)
		}
	}
	if err == nil && len(most) != len(pkgs)-1 {
		err = errors.New("no package " + leave)
	}
	return most, err
}

// loadFor takes every type from source: to compile the libraries for each platform would cost minutes, and tells no more. Those of this machine are compiled: there,
// go vet has read the tests, too. Elsewhere leave is not read.
func (t *Tree) loadFor(platform string, files *parsed, leave string) (err error) {
	goos, arch, _ := strings.Cut(platform, "/")
	cfg := &packages.Config{
		Mode: packages.LoadSyntax | packages.NeedModule | packages.NeedForTest, Dir: t.Root, Fset: t.fset,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0"),
	}
	what := []string{"./..."}
	if platform != runtime.GOOS+"/"+runtime.GOARCH {
		if what, err = t.without(leave, cfg.Env); err != nil {
			return err
		}
		cfg.Mode |= packages.NeedDeps
		cfg.Tests, cfg.ParseFile = true, files.parse
	}
	pkgs, err := packages.Load(cfg, what...)
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		if p.Module == nil || p.Module.Path != t.Module || p.ForTest != "" { // read once, and half of the memory
			p.Syntax, p.TypesInfo = nil, nil
		}
	})
	for _, p := range pkgs {
		switch {
		case p.ForTest != "":
			t.Tests = append(t.Tests, p)
		case !strings.HasSuffix(p.PkgPath, ".test"): // the go command's own main
			t.Pkgs = append(t.Pkgs, p)
		}
	}
	return err
}

// parsed keeps the files that were read: most are the same on each platform.
type parsed struct {
	inside string // the folder of what is checked whole; of other files nobody looks into the functions
	files  sync.Map
}

func (p *parsed) parse(set *token.FileSet, name string, src []byte) (*ast.File, error) {
	once, _ := p.files.LoadOrStore(name, sync.OnceValues(func() (*ast.File, error) {
		f, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution|parser.AllErrors)
		if f != nil && !strings.HasPrefix(name, p.inside) {
			hollow(f)
		}
		return f, err
	}))
	return once.(func() (*ast.File, error))()
}

// hollow takes the functions' bodies away.
func hollow(f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			fn.Body = nil
		}
	}
	f.Comments = nil
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+(\S+)`)

func moduleOf(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	m := moduleLine.FindSubmatch(b)
	if m == nil {
		return "", errors.New("go.mod names no module")
	}
	return string(m[1]), nil
}

// listFiles asks git, so that build products are left out; without a repository (a tarball) it walks.
func listFiles(root string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		return walkFiles(root)
	}
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(f string) bool {
		info, err := os.Lstat(filepath.Join(root, f))
		return err != nil || !info.Mode().IsRegular()
	}), nil
}

func walkFiles(root string) (files []string, err error) {
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || p == filepath.Join(root, "bin")) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			files = append(files, relative(root, p))
		}
		return nil
	})
	return files, err
}

func relative(root, p string) string {
	r, err := filepath.Rel(root, p)
	if err != nil {
		return p
	}
	return filepath.ToSlash(r)
}

// at makes a finding at a place in Go code.
func (t *Tree) at(pos token.Pos, format string, args ...any) Finding {
	p := t.fset.Position(pos)
	return Finding{File: relative(t.Root, p.Filename), Line: p.Line, Message: fmt.Sprintf(format, args...)}
}

// short writes a path of this module as "./x".
func (t *Tree) short(path string) string {
	if path == t.Module {
		return "."
	}
	if rest, ok := strings.CutPrefix(path, t.Module+"/"); ok {
		return "./" + rest
	}
	return path
}

// checkLoad reports what does not compile: the other checks would see only half of it.
func checkLoad(t *Tree, _ *Rules) (out []Finding) {
	for _, p := range slices.Concat(t.Pkgs, t.Tests) {
		for _, e := range p.Errors {
			if (e.Pos == "" || e.Pos == "-") && len(p.Errors) > 1 {
				continue // the go command's summary of the others
			}
			out = append(out, Finding{File: t.short(p.PkgPath), Message: strings.ReplaceAll(e.Error(), t.Root+string(filepath.Separator), "")})
		}
	}
	return out
}
