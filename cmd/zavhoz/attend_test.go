//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// lay makes a tree: "path" → text of a program, or "path -> target" for a link.
func lay(t *testing.T, root string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, rest, _ := strings.Cut(f, " ")
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, link := strings.CutPrefix(rest, "-> "); link {
			err = os.Symlink(strings.ReplaceAll(to, "ROOT", root), full)
		} else {
			err = os.WriteFile(full, []byte(strings.ReplaceAll(rest, "ROOT", root)+"\n"), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestInstallOfAProgramIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		path  []string // of the person, below root
		argv0 string
		add   []string // below root; what is to be shown
		where []string // below root; PATH inside
		lacks int
	}{
		"of the system": {argv0: "sh"},
		"nvm": {
			files: []string{"h/.nvm/versions/node/v22/bin/node ELF", "h/.nvm/versions/node/v22/lib/node_modules/@a/claude/cli.js #!/usr/bin/env node", "h/.nvm/versions/node/v22/bin/claude -> ../lib/node_modules/@a/claude/cli.js"},
			path:  []string{"h/.nvm/versions/node/v22/bin"}, argv0: "claude",
			add: []string{"h/.nvm/versions/node/v22"}, where: []string{"h/.nvm/versions/node/v22/bin"},
		},
		"a native install, in ~/.local": {
			files: []string{"h/.local/share/claude/versions/1.0.0 ELF", "h/.local/share/keyrings/k x", "h/.local/bin/claude -> ROOT/h/.local/share/claude/versions/1.0.0"},
			path:  []string{"h/.local/bin"}, argv0: "claude",
			add: []string{"h/.local/bin", "h/.local/share/claude/versions"}, where: []string{"h/.local/bin"},
		},
		"pipx with pyenv": {
			files: []string{"h/.pyenv/versions/3.12/bin/python3.12 ELF", "h/.local/share/pipx/venvs/aider/bin/python -> ROOT/h/.pyenv/versions/3.12/bin/python3.12",
				"h/.local/share/pipx/venvs/aider/bin/aider #!ROOT/h/.local/share/pipx/venvs/aider/bin/python", "h/.local/bin/aider -> ../share/pipx/venvs/aider/bin/aider"},
			path: []string{"h/.local/bin"}, argv0: "aider",
			add:   []string{"h/.local/bin", "h/.local/share/pipx/venvs/aider", "h/.pyenv/versions/3.12"},
			where: []string{"h/.local/bin"},
		},
		"a folder with keys beside bin": {
			files: []string{"h/.cargo/bin/agent ELF", "h/.cargo/credentials.toml x"}, path: []string{"h/.cargo/bin"}, argv0: "agent",
			add: []string{"h/.cargo/bin"}, where: []string{"h/.cargo/bin"},
		},
		"~/bin": {files: []string{"h/bin/agent ELF"}, path: []string{"h/bin"}, argv0: "agent", add: []string{"h/bin"}, where: []string{"h/bin"}},
		"a script of the home itself": {
			files: []string{"h/agent.sh #!/bin/sh"}, argv0: "ROOT/h/agent.sh", lacks: 1,
		},
		"what lies above the home": {files: []string{"agent ELF", "h/x y"}, argv0: "ROOT/agent", lacks: 1},
		"node_modules of a home": {
			files: []string{"h/node_modules/a/cli.js #!/bin/sh", "h/node_modules/.bin/a -> ../a/cli.js"}, argv0: "ROOT/h/node_modules/.bin/a",
			add: []string{"h/node_modules"},
		},
		"links in a circle": {files: []string{"h/bin/a -> b", "h/bin/b -> a"}, path: []string{"h/bin"}, argv0: "a"},
		"a person's PATH": {
			files: []string{"h/.bun/bin/agent ELF", "h/secret/bin/tool ELF"}, path: []string{"h/secret/bin", "h/.bun/bin"}, argv0: "agent",
			add: []string{"h/.bun"}, where: []string{"h/.bun/bin"},
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			lay(t, root, append(c.files, "h/.profile x")...)
			t.Setenv("HOME", filepath.Join(root, "h"))
			below := func(list []string) (out []string) {
				for _, d := range list {
					out = append(out, filepath.Join(root, d))
				}
				return out
			}
			pathVar := strings.Join(append(below(c.path), "/usr/bin", "/bin", "relative"), ":")
			t.Setenv("PATH", pathVar)
			in := findInstall(strings.ReplaceAll(c.argv0, "ROOT", root), pathVar, nil)
			slices.Sort(in.add)
			if want := below(c.add); !slices.Equal(in.add, want) || len(in.lacks) != c.lacks {
				t.Errorf("shows %q, lacks %q; want %q", in.add, in.lacks, want)
			}
			if want := below(c.where); !slices.Equal(in.path, want) {
				t.Errorf("PATH %q, want %q", in.path, want)
			}
			for _, d := range in.add {
				if within(filepath.Join(root, "h"))(d) {
					t.Errorf("%s holds the whole home", d)
				}
			}
		})
	}
}

func TestModesAreUndone(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"no modes":                        "",
		"\x1b[?1049h\x1b[?25l\x1b[31mred": "\x1b[?25h\x1b[?1049l\x1b[0m",
		"\x1b[?25l\x1b[?25h":              "",
		"\x1b[?1000;1006h":                "\x1b[?1000l\x1b[?1006l\x1b[0m",
		"\x1b[?7l":                        "\x1b[?7h\x1b[0m",
		"\x1b[1049h\x1b?25l\x1b[?2004$p":  "",
		"\x1b[?\x1b[?1004h":               "\x1b[?1004l\x1b[0m",
		"\x1b[?" + strings.Repeat("1", 100) + "h": "",
	} {
		for cut := range len(text) + 1 {
			var m modes
			m.see([]byte(text[:cut]))
			m.see([]byte(text[cut:]))
			if got := m.undo(); got != want {
				t.Errorf("%q cut at %d: %q, want %q", text, cut, got, want)
			}
		}
	}
	var m modes
	m.see([]byte("\x1b]0;title"))
	if m.see([]byte("\x1b[?10")); !m.cut() {
		t.Error("a sequence that was cut short is not noticed")
	}
}

func TestKnownAgentsHostsAreHosts(t *testing.T) {
	for name, k := range knownAgents {
		for _, h := range k.hosts {
			if r, err := policy.ParsePassThrough(h); err != nil || r.String() != h || strings.HasPrefix(h, "*") {
				t.Errorf("%s: %s: %v", name, h, err)
			}
		}
		for v := range k.env {
			if !policy.EnvNameAllowed(v) {
				t.Errorf("%s: %s is not the caller's to set", name, v)
			}
		}
	}
	if _, ok := agentOf("/home/u/.local/bin/claude"); !ok {
		t.Error("an agent is told by its name, wherever it lies")
	}
}
