package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

func TestProxiedCommandLines(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	exists := func(p string) bool { return p == "/usr/bin/curl" || p == "/opt/homebrew" }
	spec := Spec{Argv: []string{"curl", "-s"}, Env: []string{"PATH=bin:/bin:/usr/bin"}, Workdirs: []Workdir{{Path: dir, Mode: ReadWrite}}, Listen: []Listen{{"egress", "127.0.0.1:3128"}}}
	argv, err := proxied(spec, "/private/home", nil, exists)
	if err != nil {
		t.Fatal(err)
	}
	if len(argv) != 5 || !slices.Equal(argv[:2], []string{"/usr/bin/sandbox-exec", "-p"}) || !slices.Equal(argv[3:], []string{"/usr/bin/curl", "-s"}) {
		t.Errorf("%q", argv)
	}
	for _, want := range []string{"(deny default)", `(subpath "/private/home")`, `(subpath "` + dir + `")`, `(remote ip "localhost:3128")`, `(subpath "/opt/homebrew")`} {
		if !strings.Contains(argv[2], want) {
			t.Errorf("no %s in the profile", want)
		}
	}
	for name, c := range map[string]struct {
		edit func(*Spec)
		code fault.Code
	}{
		"no command": {func(s *Spec) { s.Argv = nil }, fault.InvalidArgument},
		"missing":    {func(s *Spec) { s.Argv = []string{"wget"} }, fault.BinaryMissing},
		"relative":   {func(s *Spec) { s.Argv = []string{"./curl"} }, fault.BinaryMissing},
		"terminal":   {func(s *Spec) { s.Terminal = &Terminal{} }, fault.NotSupported},
		"overlay":    {func(s *Spec) { s.Workdirs = []Workdir{{Path: dir, Mode: Overlay}} }, fault.WorkdirRefused},
		"mode":       {func(s *Spec) { s.Workdirs = []Workdir{{Path: dir}} }, fault.WorkdirRefused},
		"link":       {func(s *Spec) { s.Workdirs = []Workdir{{Path: link, Mode: ReadOnly}} }, fault.WorkdirRefused},
		"root":       {func(s *Spec) { s.Workdirs = []Workdir{{Path: "/", Mode: ReadOnly}} }, fault.WorkdirRefused},
		"protected":  {func(s *Spec) { s.Workdirs = []Workdir{{Path: dir, Mode: ReadOnly}} }, fault.WorkdirRefused},
		"elsewhere":  {func(s *Spec) { s.Listen = []Listen{{"x", "192.0.2.1:80"}} }, fault.InvalidArgument},
	} {
		s := spec
		c.edit(&s)
		var protected []string
		if name == "protected" {
			protected = []string{filepath.Join(dir, "vault")}
		}
		if _, err := proxied(s, "/private/home", protected, exists); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}
