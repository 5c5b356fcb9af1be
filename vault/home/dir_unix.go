//go:build unix

package home

import (
	"errors"
	"path/filepath"
	"runtime"
)

// shortTemp is fixed: TMPDIR and XDG_RUNTIME_DIR differ between a login, cron and an editor, and a door must find the daemon from each.
func shortTemp() string { return "/tmp" }

func dataFolder(getenv func(string) string) (string, error) {
	if x := getenv("XDG_DATA_HOME"); filepath.IsAbs(x) && runtime.GOOS != "darwin" {
		return x, nil
	}
	h := getenv("HOME")
	if !filepath.IsAbs(h) {
		return "", errors.New("home: HOME is not an absolute path")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(h, "Library", "Application Support"), nil
	}
	return filepath.Join(h, ".local", "share"), nil
}
