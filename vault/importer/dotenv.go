package importer

import (
	"bytes"
	"fmt"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var variable = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)

// ReadDotenv reads NAME=VALUE lines as the usual programs agree on them: `export` before a name, comments, values in single or double quotes over several lines, escapes
// in double ones. What they do not agree on stays as it is: a $ is a $. Errors: invalid_argument with the line (syntax, a name that is there twice).
func ReadDotenv(b []byte) ([]Item, error) {
	r := dotenv{rest: b, seen: map[string]bool{}}
	for len(r.rest) > 0 {
		if err := r.line(); err != nil {
			Wipe(r.items)
			return nil, err
		}
	}
	return r.items, nil
}

type dotenv struct {
	rest  []byte
	at    int // line
	seen  map[string]bool
	items []Item
}

func (r *dotenv) bad(why string) error {
	return fault.Newf(fault.InvalidArgument, "line %d %s", r.at, why).WithNext("a line is NAME=VALUE; correct it, or say what the file is with --format").With("line", r.at)
}

// take cuts the next line off, without its end.
func (r *dotenv) take() []byte {
	line, rest, _ := bytes.Cut(r.rest, []byte("\n"))
	r.rest = rest
	r.at++
	return bytes.TrimSuffix(line, []byte("\r"))
}

func (r *dotenv) line() error {
	line := bytes.TrimLeft(r.take(), " \t") // blanks at its end may be within quotes
	if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
		return nil
	}
	if after, ok := bytes.CutPrefix(line, []byte("export")); ok && len(after) > 0 && (after[0] == ' ' || after[0] == '\t') {
		line = bytes.TrimLeft(after, " \t")
	}
	name, value, ok := bytes.Cut(line, []byte("="))
	name, value = bytes.TrimSpace(name), bytes.TrimLeft(value, " \t")
	start := r.at
	switch {
	case !ok:
		return r.bad("has no `=`")
	case !variable.Match(name):
		return r.bad("has no variable's name before its `=`")
	case r.seen[string(name)]:
		return r.bad("has a name that is there before: programs differ in which of the two they take")
	}
	if r.seen[string(name)] = true; len(r.seen) > maxNodes {
		return r.bad("is one too many")
	}
	text, err := r.value(value)
	if err != nil {
		return err
	}
	r.items = append(r.items, Item{Name: string(name), Secrets: map[string]secret.Secret{"value": secret.New(text)}, Where: fmt.Sprintf("line %d", start)})
	return nil
}

// value reads what follows the `=`; a quoted one may take further lines. The result is a copy.
func (r *dotenv) value(v []byte) ([]byte, error) {
	if len(v) == 0 || v[0] != '"' && v[0] != '\'' {
		for i := 1; i < len(v); i++ {
			if v[i] == '#' && (v[i-1] == ' ' || v[i-1] == '\t') {
				v = v[:i]
			}
		}
		if len(v) > 0 && v[0] == '#' {
			v = nil
		}
		return append([]byte{}, bytes.TrimSpace(v)...), nil
	}
	quote, start := v[0], r.at
	v = v[1:]
	out := make([]byte, 0, len(v))
	for {
		rest, n, closed := unquoted(v, quote)
		if out = append(out, rest...); closed {
			if tail := bytes.TrimSpace(v[n:]); len(tail) > 0 && tail[0] != '#' {
				clear(out)
				return nil, r.bad("has something behind its closing quote")
			}
			return out, nil
		}
		if len(r.rest) == 0 {
			clear(out)
			r.at = start
			return nil, r.bad("opens a quote that nothing closes")
		}
		out = append(out, '\n')
		v = r.take()
	}
}

// unquoted reads up to the closing quote; n is how much of v that was.
func unquoted(v []byte, quote byte) (out []byte, n int, closed bool) {
	for n < len(v) {
		c := v[n]
		n++
		switch {
		case c == quote:
			return out, n, true
		case c == '\\' && quote == '"' && n < len(v):
			out = append(out, escaped(v[n])...)
			n++
		default:
			out = append(out, c)
		}
	}
	return out, n, false
}

func escaped(c byte) []byte {
	switch c {
	case 'n':
		return []byte("\n")
	case 'r':
		return []byte("\r")
	case 't':
		return []byte("\t")
	case '"', '\\', '\'', '$', '`':
		return []byte{c}
	}
	return []byte{'\\', c}
}
