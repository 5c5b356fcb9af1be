package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/stores"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

var errPath = wire.Fail{Code: wire.FailPath}

// change applies one change to the document b.
func change(b sops.TreeBranch, c wire.Change) (sops.TreeBranch, error) {
	if len(c.Path) == 0 {
		return nil, errPath
	}
	var (
		out any
		err error
	)
	if c.Unset {
		out, err = unset(b, c.Path)
	} else {
		var v any
		if v, err = fromNode(c.Value); err == nil {
			out, err = set(b, c.Path, v)
		}
	}
	if err != nil {
		return nil, err
	}
	doc, ok := out.(sops.TreeBranch)
	if !ok {
		return nil, errPath
	}
	return doc, nil
}

// set puts v at path below value, and makes the maps that are not there. A scalar in the way is no map: it is not replaced.
func set(value any, path []string, v any) (any, error) {
	if len(path) == 0 {
		return v, nil
	}
	switch at := value.(type) {
	case nil:
		return set(sops.TreeBranch{}, path, v)
	case sops.TreeBranch:
		if i := named(at, path[0]); i >= 0 {
			below, err := set(at[i].Value, path[1:], v)
			at[i].Value = below
			return at, err
		}
		below, err := set(nil, path[1:], v)
		return append(at, sops.TreeItem{Key: path[0], Value: below}), err
	case []any:
		i, end, ok := position(at, path[0])
		if !ok {
			return nil, errPath
		}
		if end {
			below, err := set(nil, path[1:], v)
			return append(at, below), err
		}
		below, err := set(at[i], path[1:], v)
		at[i] = below
		return at, err
	}
	return nil, errPath
}

// named finds the item of a name; -1 where there is none. Of two it is the latter: the library puts an empty section DEFAULT before an INI file's own.
func named(b sops.TreeBranch, name string) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i].Key == name {
			return i
		}
	}
	return -1
}

// position finds the item of that number, comments not counted; end means one behind the last.
func position(list []any, number string) (i int, end, ok bool) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return 0, false, false
	}
	for i, v := range list {
		if _, comment := v.(sops.Comment); comment {
			continue
		}
		if n == 0 {
			return i, false, true
		}
		n--
	}
	return 0, true, n == 0
}

// unset removes what is at path, and the comments of its own that stand right before it.
func unset(value any, path []string) (any, error) {
	switch at := value.(type) {
	case sops.TreeBranch:
		i := named(at, path[0])
		if i < 0 {
			return nil, errPath
		}
		if len(path) == 1 {
			from := i
			for from > 0 && inline(at[from-1].Key) {
				from--
			}
			return append(at[:from:from], at[i+1:]...), nil
		}
		below, err := unset(at[i].Value, path[1:])
		at[i].Value = below
		return at, err
	case []any:
		i, end, ok := position(at, path[0])
		if !ok || end {
			return nil, errPath
		}
		if len(path) == 1 {
			from := i
			for from > 0 && inline(at[from-1]) {
				from--
			}
			return append(at[:from:from], at[i+1:]...), nil
		}
		below, err := unset(at[i], path[1:])
		at[i] = below
		return at, err
	}
	return nil, errPath
}

func inline(v any) bool {
	c, ok := v.(sops.Comment)
	return ok && c.Inline
}

// checker holds a plain tree to what its format can write and read back.
type checker struct {
	loader
	format string
}

func (c *checker) tree(b sops.TreeBranches) error {
	if len(b) == 0 || c.format != "yaml" && len(b) != 1 {
		return wire.Fail{Code: wire.FailValueType}
	}
	for _, doc := range b {
		for _, item := range doc {
			name, ok := item.Key.(string)
			if ok && (c.format != "dotenv" && name == stores.SopsMetadataKey || c.format == "dotenv" && strings.HasPrefix(name, stores.SopsPrefix)) {
				return wire.Fail{Code: wire.FailValueType}
			}
			if _, section := item.Value.(sops.TreeBranch); c.format == "ini" && !section {
				return wire.Fail{Code: wire.FailValueType}
			}
		}
		if err := c.value(doc, 0); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) value(v any, depth int) error {
	if err := c.count(0, depth); err != nil {
		return err
	}
	most := map[string]int{"dotenv": 0, "ini": 1}
	switch v := v.(type) {
	case sops.TreeBranch:
		if limit, flat := most[c.format]; flat && depth > limit {
			return wire.Fail{Code: wire.FailValueType}
		}
		for _, item := range v {
			if err := c.name(item.Key); err != nil {
				return err
			}
			if err := c.value(item.Value, depth+1); err != nil {
				return err
			}
		}
	case []any:
		if _, flat := most[c.format]; flat {
			return wire.Fail{Code: wire.FailValueType}
		}
		for _, item := range v {
			if err := c.value(item, depth+1); err != nil {
				return err
			}
		}
	case sops.Comment:
		return c.name(v)
	}
	return nil
}

// name refuses keys and comments that would be read back as something else.
func (c *checker) name(key any) error {
	text, isKey := key.(string)
	if remark, ok := key.(sops.Comment); ok {
		text = remark.Value
	}
	bad := !utf8.ValidString(text) || isKey && text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && (isKey || r != '\t') })
	switch {
	case isKey && c.format == "dotenv":
		bad = bad || strings.ContainsAny(text, "= ") || text[0] == '#'
	case isKey && c.format == "ini":
		bad = bad || strings.ContainsAny(text, "=:[]#;`\"'\\") || strings.TrimSpace(text) != text || text[0] == '-'
	}
	if bad {
		return wire.Fail{Code: wire.FailValueType}
	}
	return nil
}
