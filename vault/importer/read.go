package importer

import (
	"bytes"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var (
	dotenvLine = lazyregexp.New(`^(export[ \t]+)?[A-Za-z_][A-Za-z0-9_.-]*[ \t]*=`)
	sopsLine   = lazyregexp.New(`(?m)^(sops_mac=|\[sops\]|sops:[ \t]*\r?$)`)
)

// Options of Read.
type Options struct {
	Format  Format // none of Auto, SOPS, Age: those need an identity, and who has it
	Project string // of what names none; "" for none
	Keys    FernetKeys
}

// Detect tells what a file is by its content. It never gives Auto; what looks like nothing is YAML, whose reader says what is wrong.
func Detect(b []byte) Format {
	t := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return OnePasswordX
	case bytes.HasPrefix(t, []byte("age-encryption.org/")), bytes.HasPrefix(t, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return Age
	case bytes.Contains(b, []byte("ENC[AES256_GCM,")) && sopsLine.Match(b):
		return SOPS
	case len(t) > 0 && (t[0] == '{' || t[0] == '['):
		return detectJSON(t)
	case IsFernet(t):
		return Fernet
	}
	head, _, _ := bytes.Cut(t, []byte("\n"))
	if f, ok := isExport(head); ok {
		return f
	}
	for line := range bytes.Lines(t) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if !dotenvLine.Match(line) {
			return YAML
		}
		if _, v, _ := bytes.Cut(line, []byte("=")); IsFernet(bytes.Trim(v, " '\"")) {
			return Fernet
		}
		return Dotenv
	}
	return YAML
}

func detectJSON(t []byte) Format {
	has := func(s string) bool { return bytes.Contains(t, []byte(s)) }
	switch {
	case has("ENC[AES256_GCM,") && has(`"sops"`):
		return SOPS
	case has(`"accounts"`) && has(`"vaults"`) && has(`"categoryUuid"`):
		return OnePasswordX
	case has(`"encrypted"`) && (has(`"items"`) || has(`"encKeyValidation_DO_NOT_EDIT"`)):
		return BitwardenJSON
	case has(`"` + fernetMark):
		return Fernet
	}
	return JSON
}

// Read gives what a file in clear, or a Fernet export, holds. b is text (Text), unless it is a .1pux archive; the caller wipes it.
func Read(b []byte, o Options) ([]Item, error) {
	switch o.Format {
	case Dotenv:
		return ReadDotenv(b)
	case JSON, YAML:
		parse, name := ParseJSON, "json"
		if o.Format == YAML {
			parse, name = ParseYAML, "yaml"
		}
		n, err := parse(b)
		if err != nil {
			return nil, err
		}
		defer n.Wipe()
		if n.Kind != wire.Map {
			return nil, broken("the file is no list of names and values", "--format says what it is, where it is something else")
		}
		return FromTree(wire.Tree{Documents: []wire.Node{n}}, name, o.Project)
	case Fernet:
		if len(o.Keys) == 0 {
			return nil, fault.New(fault.SecretMissing, "a Fernet export opens with its key alone", "give the file of the key with --key")
		}
		return ReadFernet(b, o.Keys)
	case OnePassword, Bitwarden:
		return ReadCSV(b)
	case OnePasswordX:
		return ReadOnePassword(b)
	case BitwardenJSON:
		return ReadBitwarden(b)
	}
	return nil, broken("what the file is cannot be told", "say it with --format")
}
