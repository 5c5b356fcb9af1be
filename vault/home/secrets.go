package home

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// Secrets is where resources live.
type Secrets struct {
	Source string       `yaml:"source"` // vault: vault.db alone; sops: Files, too
	Files  []SecretFile `yaml:"files"`
	AddTo  string       `yaml:"add_to"` // name of the file that new resources go to; "": the vault alone
}

// SecretFile is one SOPS file. Its name is the last part of its path.
type SecretFile struct {
	Path    string `yaml:"path"`    // absolute, or within the home folder
	Project string `yaml:"project"` // of dotenv and INI files; "": default
}

// The homes of resources.
const (
	SourceVault = "vault"
	SourceSOPS  = "sops"
)

var projectShape = lazyregexp.New(`^[a-z][a-z0-9-]{0,39}$`)

// Within gives the file's path.
func (f SecretFile) Within(d Dir) string {
	if filepath.IsAbs(f.Path) {
		return filepath.Clean(f.Path)
	}
	return filepath.Join(d.Path(), f.Path)
}

func (s Secrets) source() bool {
	return s.Source == SourceVault && len(s.Files) == 0 || s.Source == SourceSOPS && len(s.Files) > 0
}

func (s Secrets) files() bool {
	seen := map[string]bool{}
	for _, f := range s.Files {
		name := filepath.Base(f.Path)
		known := slices.Contains([]string{".yaml", ".yml", ".json", ".env", ".ini"}, strings.ToLower(filepath.Ext(f.Path)))
		if seen[name] || !known || strings.ContainsRune(f.Path, 0) || f.Project != "" && !projectShape.MatchString(f.Project) {
			return false
		}
		seen[name] = true
	}
	return true
}

func (s Secrets) addTo() bool {
	return s.AddTo == "" || slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(s.AddTo))) &&
		slices.ContainsFunc(s.Files, func(f SecretFile) bool { return filepath.Base(f.Path) == s.AddTo })
}
