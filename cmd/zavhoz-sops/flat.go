package main

import (
	"bytes"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// loadDotenv reads NAME=VALUE lines. A name that is there twice is refused: programs differ in which of them they take.
func loadDotenv(in []byte) (sops.TreeBranches, error) {
	names := map[string]struct{}{}
	n := 0
	for line := range bytes.Lines(in) {
		n++
		line = bytes.TrimRight(line, "\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, _, ok := bytes.Cut(line, []byte("="))
		if !ok {
			return nil, wire.Fail{Code: wire.FailSyntax, Line: n}
		}
		if _, twice := names[string(name)]; twice {
			return nil, wire.Fail{Code: wire.FailDuplicate, Line: n}
		}
		names[string(name)] = struct{}{}
		if len(names) > wire.MaxNodes {
			return nil, wire.Fail{Code: wire.FailTooLarge, Line: n}
		}
	}
	b, err := dotenv.NewStore(&config.DotenvStoreConfig{}).LoadPlainFile(in)
	if err != nil {
		return nil, wire.Fail{Code: wire.FailSyntax}
	}
	return b, nil
}

func emitDotenv(t sops.Tree) ([]byte, error) {
	return dotenv.NewStore(&config.DotenvStoreConfig{}).EmitEncryptedFile(t)
}

// loadINI reads sections. Of those there twice SOPS's reader keeps both, of keys the last: both are refused.
func loadINI(in []byte) (sops.TreeBranches, error) {
	if err := uniqueINI(in); err != nil {
		return nil, err
	}
	b, err := ini.NewStore(&config.INIStoreConfig{}).LoadPlainFile(in)
	if err != nil || len(b) != 1 {
		return nil, wire.Fail{Code: wire.FailSyntax}
	}
	return b, nil
}

func uniqueINI(in []byte) error {
	sections, names := map[string]bool{"DEFAULT": true}, map[string]bool{}
	n := 0
	for line := range bytes.Lines(in) {
		n++
		text := string(bytes.TrimSpace(line))
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[':
			end := strings.LastIndexByte(text, ']')
			if end < 0 {
				return wire.Fail{Code: wire.FailSyntax, Line: n}
			}
			name := strings.TrimSpace(text[1:end])
			if sections[name] && (name != "DEFAULT" || len(names) > 0 || len(sections) > 1) {
				return wire.Fail{Code: wire.FailDuplicate, Line: n}
			}
			sections[name], names = true, map[string]bool{}
			continue
		}
		at := strings.IndexAny(text, "=:")
		if at <= 0 {
			continue // a line that goes on; the reader says what is wrong with others
		}
		name := strings.TrimSpace(text[:at])
		if names[name] {
			return wire.Fail{Code: wire.FailDuplicate, Line: n}
		}
		names[name] = true
	}
	return nil
}

func emitINI(t sops.Tree) ([]byte, error) {
	return ini.NewStore(&config.INIStoreConfig{}).EmitEncryptedFile(t)
}

// metadata takes the sops entries out of the branches, by the way in which the format holds them.
func metadata(format string, b sops.TreeBranches) (sops.TreeBranches, sops.Metadata, error) {
	o := stores.MetadataOpts{Flatten: stores.MetadataFlattenNone}
	switch format {
	case "dotenv":
		o.Flatten = stores.MetadataFlattenFull
	case "ini":
		o = stores.MetadataOpts{Flatten: stores.MetadataFlattenBelowTop, EscapeNewlines: true}
	}
	return stores.ExtractMetadata(b, o)
}
