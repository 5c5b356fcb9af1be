package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/stores"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// loadJSON reads one object. Unlike SOPS's reader it refuses keys that are there twice, and anything after the end.
func loadJSON(in []byte) (sops.TreeBranches, int, error) {
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	l := &jsonLoader{d: d, in: in}
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return nil, 0, l.fail(wire.FailSyntax)
	}
	b, err := l.object(0)
	if err != nil {
		return nil, 0, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, 0, l.fail(wire.FailSyntax)
	}
	return sops.TreeBranches{b}, jsonIndent(in), nil
}

type jsonLoader struct {
	loader
	d  *json.Decoder
	in []byte
}

func (l *jsonLoader) fail(c wire.Code) error {
	at := min(int(l.d.InputOffset()), len(l.in))
	return wire.Fail{Code: c, Line: 1 + bytes.Count(l.in[:at], []byte("\n"))}
}

func (l *jsonLoader) token(depth int) (json.Token, error) {
	t, err := l.d.Token()
	if err != nil {
		return nil, l.fail(wire.FailSyntax)
	}
	if l.count(0, depth) != nil {
		return nil, l.fail(wire.FailTooLarge)
	}
	return t, nil
}

func (l *jsonLoader) object(depth int) (sops.TreeBranch, error) {
	b := sops.TreeBranch{}
	names := map[string]struct{}{}
	for {
		t, err := l.token(depth)
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok { // the decoder lets nothing but a name or the end stand here
			return b, nil
		}
		if _, twice := names[name]; twice {
			return nil, l.fail(wire.FailDuplicate)
		}
		names[name] = struct{}{}
		if t, err = l.token(depth); err != nil {
			return nil, err
		}
		v, err := l.value(t, depth+1)
		if err != nil {
			return nil, err
		}
		b = append(b, sops.TreeItem{Key: name, Value: v})
	}
}

func (l *jsonLoader) value(t json.Token, depth int) (any, error) {
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return l.object(depth)
		}
		list := []any{}
		for {
			t, err := l.token(depth)
			if err != nil {
				return nil, err
			}
			if t == json.Delim(']') {
				return list, nil
			}
			v, err := l.value(t, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return int(i), nil
		}
		f, err := t.Float64()
		if err != nil {
			return nil, l.fail(wire.FailValueType)
		}
		return f, nil
	}
	return t, nil // string, bool, nil
}

// jsonIndent finds how far the first entry stands in: spaces, or 0 for the format's own, which is a tab.
func jsonIndent(in []byte) int {
	_, rest, ok := bytes.Cut(in, []byte("\n"))
	if n := len(rest) - len(bytes.TrimLeft(rest, " ")); ok && n <= 9 {
		return n
	}
	return 0
}

// emitJSON writes as SOPS does; its own writer takes time by the square of the number of keys.
func emitJSON(t sops.Tree, indent int) ([]byte, error) {
	branches, err := stores.SerializeMetadata(t, stores.MetadataOpts{Flatten: stores.MetadataFlattenNone})
	if err != nil {
		return nil, err
	}
	by := "\t"
	if indent > 0 {
		by = strings.Repeat(" ", indent)
	}
	e := jsonEmitter{by: by}
	if err := e.value(branches[0], 0); err != nil {
		return nil, err
	}
	e.out.WriteByte('\n')
	return e.out.Bytes(), nil
}

type jsonEmitter struct {
	out bytes.Buffer
	by  string
}

func (e *jsonEmitter) line(depth int) {
	e.out.WriteByte('\n')
	for range depth {
		e.out.WriteString(e.by)
	}
}

func (e *jsonEmitter) value(v any, depth int) error {
	switch v := v.(type) {
	case sops.TreeBranch:
		return e.entries('{', '}', len(v), depth, func(i int) (any, bool) {
			name, ok := v[i].Key.(string)
			return jsonEntry{name, v[i].Value}, ok
		})
	case []any:
		return e.entries('[', ']', len(v), depth, func(i int) (any, bool) {
			_, comment := v[i].(sops.Comment)
			return v[i], !comment
		})
	case jsonEntry:
		if err := e.value(v.name, depth); err != nil {
			return err
		}
		e.out.WriteString(": ")
		return e.value(v.value, depth)
	}
	b, err := json.Marshal(v)
	e.out.Write(b)
	return err
}

type jsonEntry struct {
	name  string
	value any
}

func (e *jsonEmitter) entries(open, end byte, n, depth int, at func(int) (any, bool)) error {
	e.out.WriteByte(open)
	some := false
	for i := range n {
		v, ok := at(i)
		if !ok {
			continue
		}
		if some {
			e.out.WriteByte(',')
		}
		some = true
		e.line(depth + 1)
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	if some {
		e.line(depth)
	}
	e.out.WriteByte(end)
	return nil
}
