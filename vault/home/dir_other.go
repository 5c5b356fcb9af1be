//go:build !unix

package home

import (
	"errors"
	"os"
	"path/filepath"
)

func shortTemp() string { return os.TempDir() }

func dataFolder(getenv func(string) string) (string, error) {
	if l := getenv("LocalAppData"); filepath.IsAbs(l) {
		return l, nil
	}
	return "", errors.New("home: LocalAppData is not an absolute path")
}
