package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// alone lets the go command look at nothing but a tree of ours.
func alone(t *testing.T) {
	for k, v := range map[string]string{"GOFLAGS": "-mod=mod", "GOWORK": "off", "GOPROXY": "off"} {
		t.Setenv(k, v)
	}
}

// TestRules lays each bad example over a small house that keeps every rule. Each line of "want" must be the start of one finding, and
// each finding must be wanted: a rule that fires on what is good is as wrong as one that does not fire.
func TestRules(t *testing.T) {
	// no network and no work file: the examples need the standard library only
	alone(t)
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) < 10 {
		t.Fatalf("examples: %d, %v", len(cases), err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			root := t.TempDir()
			layOut(t, root, "testdata/base.txtar")
			want := layOut(t, root, path)
			on := []string{"linux/amd64"}
			if strings.Contains(path, "platform") {
				on = platforms
			}
			got, err := lint(root, house, on, "")
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, want)
		})
	}
}

// What is left to this platform alone is not read for the others, and all else is.
func TestBrief(t *testing.T) {
	alone(t)
	root := t.TempDir()
	layOut(t, root, "testdata/base.txtar")
	layOut(t, root, "testdata/broken_on_one_platform.txtar")
	for leave, want := range map[string]int{"": 1, "./store": 0, "./vault/secret": 1} {
		if got, err := lint(root, house, []string{"linux/amd64", "windows/arm64"}, leave); err != nil || len(got) != want {
			t.Errorf("without %q: %v %v", leave, got, err)
		}
	}
	if _, err := lint(root, house, platforms, "./gone"); err == nil {
		t.Error("a package that is gone is left out")
	}
}

// layOut writes the files of an archive under root, but the lines of "want…", which it returns.
func layOut(t *testing.T, root, archive string) (want []string) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "want") {
			want = append(want, strings.Split(strings.TrimSpace(string(f.Data)), "\n")...)
			continue
		}
		name := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

func compare(t *testing.T, got []Finding, want []string) {
	t.Helper()
	found := map[string]bool{}
	for _, f := range got {
		line, wanted := f.String(), false
		for _, w := range want {
			if strings.HasPrefix(line, w) {
				found[w], wanted = true, true
			}
		}
		if !wanted {
			t.Errorf("not wanted: %s", line)
		}
	}
	for _, w := range want {
		if !found[w] {
			t.Errorf("missing:    %s", w)
		}
	}
}

func TestLength(t *testing.T) {
	root := t.TempDir()
	for name, lines := range map[string]int{"long.go": 401, "fits.go": 400, "long_test.go": 900} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(strings.Repeat("\n", lines)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree := &Tree{Root: root, Files: []string{"fits.go", "long.go", "long_test.go"}}
	if got := fmt.Sprint(checkLength(tree, &house)); !strings.Contains(got, "long.go") || strings.Contains(got, "fits") || strings.Contains(got, "_test") {
		t.Error(got)
	}
}

// The hosts come from the environment, for no file may name them, this one included.
func TestLocalRegistries(t *testing.T) {
	env := map[string]string{
		"GOPROXY":       "https://user:pw@go.corp.example:8443/x,https://proxy.golang.org,direct",
		"PIP_INDEX_URL": "http://pip.corp.example/simple",
	}
	words := compileWords(localRegistries(func(k string) string { return env[k] }))
	if len(words) != 2 {
		t.Fatalf("words: %d", len(words))
	}
	for i, line := range []string{"see go.corp.example", "http://pip.corp.example/y"} {
		if !words[i].re.MatchString(line) || words[i].re.MatchString("go-corp-example and proxy.golang.org") {
			t.Errorf("%v on %q", words[i].re, line)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"./sync/...", "./sync", true}, {"./sync/...", "./sync/time4vps", true}, {"./sync/...", "sync", false}, {"./sync/...", "./syncer", false},
		{"./...", "./a/b", true}, {"./...", "a", false}, {"./...test", "./run/ssh/sshtest", true}, {"./...test", "./run/ssh", false},
		{"./...test/...", "./run/ssh/sshtest/x", true}, {"testing/...", "testing", true}, {"./vault/open", "./vault/openx", false},
	} {
		if got := matches(c.path, []string{c.pattern}); got != c.want {
			t.Errorf("%s on %s: %t", c.pattern, c.path, got)
		}
	}
}
