// Package importer reads what people keep their secrets in (SOPS trees, dotenv, JSON, YAML, the earlier system's Fernet exports, exports of 1Password and Bitwarden) and
// makes resources of it: a kind that the value itself tells, a handle that is legal and stays the same from run to run.
//
// Promise: whatever bytes come in, reading ends in items or in one error that holds nothing of them, in memory of a small multiple of what came. What cannot be taken is
// named, with the reason, and never dropped in silence. Names and places are shown to people; values, and names that look like values, are not.
//
// Attacks stopped: files made to exhaust who reads them: depth, counts and sizes are bounded, aliases refused, archives not unpacked beyond the limit (threat-model.md 67);
// a key that is there twice, of which two programs take different ones; a value in the place of a name, which a handle or a message would show (65); a token of
// the earlier system under another key, or changed: Fernet's MAC is checked before anything is decrypted.
//
// What it does not do: decoders of Go's library make strings, which cannot be wiped: who imports is a program that ends when it is done, undumpable from its
// first line. Fernet binds no value to its name: who could write the export could exchange two values. It opens no SOPS file and no age file by itself: its caller
// has the identities.
package importer

import (
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of an import.
const (
	MaxFile  = 64 << 20 // bytes of a file
	maxDepth = 64       // of maps and lists within each other
	maxNodes = 1 << 20  // values of a file
)

// Format is a way in which secrets are written down. Frozen: the command line's --format.
type Format string

// The formats.
const (
	Auto          Format = "auto" // told by the content
	SOPS          Format = "sops"
	Age           Format = "age" // an age file around any of the others
	Dotenv        Format = "dotenv"
	JSON          Format = "json"
	YAML          Format = "yaml"
	Fernet        Format = "fernet"
	OnePassword   Format = "1password-csv"
	OnePasswordX  Format = "1password-json" // a .1pux archive, or its export.data
	Bitwarden     Format = "bitwarden-csv"
	BitwardenJSON Format = "bitwarden-json"
)

// Formats lists them, as people may name them.
func Formats() []Format {
	return []Format{Auto, SOPS, Age, Dotenv, JSON, YAML, Fernet, OnePassword, OnePasswordX, Bitwarden, BitwardenJSON}
}

// Clear tells whether a file of the format holds its secrets in clear: who imported it should shred it.
func (f Format) Clear() bool { return f != SOPS && f != Age && f != Fernet }

// Item is one thing that a source holds, before its kind is known.
type Item struct {
	Kind    string // where the source says it: the layout of SOPS files; "" otherwise
	Handle  string // likewise
	Name    string // a variable or a title, as the source has it
	Project string // slug; "" where the source names none
	Attrs   map[string]string
	Secrets map[string]secret.Secret // by field; of an item without a kind, "value" is the secret itself
	Labels  map[string]string
	Where   string // for people: which file, and where in it
	Problem *fault.Error
	path    []string // of a value below the top of a tree: the keys that Name is made of, as the source has them
	pasted  showing  // Name shows a value of the entry that this is a part of, or of what is beside it in a tree
}

// Wipe overwrites the values.
func (i Item) Wipe() {
	for _, s := range i.Secrets {
		s.Wipe()
	}
}

// Wipe overwrites the values of all.
func Wipe(items []Item) {
	for _, i := range items {
		i.Wipe()
	}
}

// Fields names the sealed fields, in order.
func (i Item) Fields() []string { return slices.Sorted(maps.Keys(i.Secrets)) }

func broken(what, next string) *fault.Error {
	return fault.New(fault.InvalidArgument, what, next)
}
