// Package dotenv writes variables in the form that one named reader reads back, byte for byte.
//
// Promise: there is no dotenv format, there are readers: each quotes, escapes and interpolates in its own way. So the caller says who will read, and what that
// reader would not give back exactly as it was is refused, with the variable's name and the reason; nothing is written then. The tests ask the real readers:
// bash, Docker Compose's parser, python-dotenv, godotenv.
//
// Attacks stopped: a value that ends its line and sets another variable; one that a reader interpolates (a password with a $ in it, or a value that reads
// another secret); one that a shell would run. A refusal repeats nothing of a value (threat-model.md 65).
//
// Limits: a file is read by whoever reads it. A file for one reader is not one for another: the first line says whose it is. Newer versions of a reader may
// differ; docs/environments.md names those that are tested.
package dotenv

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Reader is who reads what is written. Names are frozen.
type Reader string

// The readers.
const (
	Bash    Reader = "bash"    // set -a; . FILE: any POSIX shell
	Compose Reader = "compose" // docker compose --env-file FILE, and env_file: without format: raw
	Python  Reader = "python"  // python-dotenv, and what is built on it (pydantic-settings, Flask)
	Go      Reader = "go"      // github.com/joho/godotenv
)

// Readers gives every reader.
func Readers() []Reader { return []Reader{Bash, Compose, Python, Go} }

// Pair is one variable.
type Pair struct {
	Name  string
	Value secret.Secret
}

// MaxValue is the longest value, in bytes: Linux takes no longer variable.
const MaxValue = 128 << 10

var nameShape = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// dialect is what a reader's grammar can carry: the ways to write a value, the plainest first. A way gives nil for what it cannot carry.
type dialect struct {
	text bool // only UTF-8
	ways []func(v []byte) []byte
	why  string // what it cannot carry, in half a sentence
}

var dialects = map[Reader]dialect{
	Bash:    {ways: ways(shell), why: "of a zero byte"},
	Compose: {text: true, ways: ways(single, composeDouble), why: "of bytes that are no text"},
	Python:  {text: true, ways: ways(pythonSingle, pythonDouble, pythonBare), why: "of a ${…}, which it replaces even within quotes, or of a final backslash beside a line end or a blank"},
	Go:      {text: true, ways: ways(goSingle, goDouble, goBare), why: "of how it reads quotes and backslashes at the end of a value"},
}

func ways(f ...func([]byte) []byte) []func([]byte) []byte { return f }

// Write writes the pairs for one reader, in order of names. Errors: fault invalid_argument (no such reader, a name that is none or is there twice),
// delivery_refused (a value that the reader would not read back).
func Write(w io.Writer, reader Reader, pairs []Pair) error {
	d, ok := dialects[reader]
	if !ok {
		return fault.New(fault.InvalidArgument, "there is no such reader of dotenv files", "the readers are bash, compose, python and go")
	}
	pairs = slices.Clone(pairs)
	slices.SortStableFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	size := 256
	for _, p := range pairs {
		size += len(p.Name) + 8*p.Value.Len() + 16
	}
	out := make([]byte, 0, size) // large enough: growing would leave copies behind
	defer func() { clear(out[:cap(out)]) }()
	out = append(out, "# Written by zavhoz for "+string(reader)+": other readers read it otherwise.\n"...)
	for i, p := range pairs {
		if !nameShape.MatchString(p.Name) || i > 0 && pairs[i-1].Name == p.Name {
			return fault.New(fault.InvalidArgument, "a variable's name has letters, digits and _, does not begin with a digit, and is there once", "")
		}
		v, err := d.write(p, reader)
		if err != nil {
			return err
		}
		out = append(append(append(append(out, p.Name...), '='), v...), '\n')
		clear(v)
	}
	_, err := w.Write(out)
	return err
}

func (d dialect) write(p Pair, reader Reader) ([]byte, error) {
	v := p.Value.Reveal()
	refuse := func(why string) error {
		return fault.Newf(fault.DeliveryRefused, "%s cannot be written for %s because %s", p.Name, reader, why).
			WithNext("use another reader, or give the program the environment itself: zavhoz run").With("variable", p.Name).With("reader", string(reader))
	}
	switch {
	case bytes.IndexByte(v, 0) >= 0:
		return nil, refuse("of a zero byte, which no variable can hold")
	case len(v) > MaxValue:
		return nil, refuse("it is longer than a variable can be")
	case d.text && !utf8.Valid(v):
		return nil, refuse("it is not UTF-8 text")
	}
	for _, way := range d.ways {
		if out := way(v); out != nil {
			return out, nil
		}
	}
	return nil, refuse(d.why)
}
