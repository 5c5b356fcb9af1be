package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// MaxDepth is how deep arguments may nest: deeper input only serves to exhaust a stack.
const MaxDepth = 32

// Decode reads a call's arguments into a struct (a pointer to it), strictly: names match by case, and no name is unknown or given
// twice. Go's decoder alone takes "Command" for "command" and lets the last of two win, so that what a policy looked at and what
// runs could differ. Absent arguments and null are an empty object.
//
// Every error is fault invalid_argument. It names the field where the name is short and printable, and never holds a value: a
// model may have put a secret there by mistake.
func Decode(raw json.RawMessage, into any) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	if !utf8.Valid(raw) {
		return argument("", "the arguments are not valid UTF-8")
	}
	if !json.Valid(raw) {
		return argument("", "the arguments are not valid JSON")
	}
	if raw[0] != '{' {
		return argument("", "the arguments must be a JSON object")
	}
	if err := check(raw, reflect.TypeOf(into), nil); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return typeFault(err)
	}
	return nil
}

// place is where in the arguments a value is; its path is written down only for an error.
type place struct {
	up    *place
	name  []byte
	index int
	depth int
}

func (p *place) path() string {
	switch {
	case p == nil:
		return ""
	case p.name == nil:
		return p.up.path() + "[" + strconv.Itoa(p.index) + "]"
	case p.up == nil:
		return string(p.name)
	}
	return p.up.path() + "." + string(p.name)
}

func (p *place) below() int {
	if p == nil {
		return 1
	}
	return p.depth + 1
}

// check goes over valid JSON beside the Go type that it will be decoded into.
func check(raw []byte, t reflect.Type, at *place) error {
	if raw[0] != '{' && raw[0] != '[' {
		return nil
	}
	if at.below() > MaxDepth {
		return argument("", "the arguments nest deeper than "+strconv.Itoa(MaxDepth)+" levels")
	}
	t = concrete(t)
	if raw[0] == '{' {
		return checkObject(raw, t, at)
	}
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	var err error
	wire.Elements(raw, func(i int, v []byte) bool {
		err = check(v, elem, &place{up: at, index: i, depth: at.below()})
		return err == nil
	})
	return err
}

func checkObject(raw []byte, t reflect.Type, at *place) (err error) {
	fields, elem := shape(t)
	var seen [][]byte
	var many map[string]bool // instead of seen, when the keys are many
	wire.Members(raw, func(key, v []byte) bool {
		name := wire.Text(key)
		here := &place{up: at, name: append([]byte{}, name...), depth: at.below()}
		if many[string(name)] || slices.ContainsFunc(seen, func(s []byte) bool { return bytes.Equal(s, name) }) {
			err = argument(here.path(), "given twice")
			return false
		}
		if seen, many = note(seen, many, name); fields == nil {
			err = check(v, elem, here)
			return err == nil
		}
		f, ok := fields[string(name)]
		if !ok {
			err = argument(here.path(), "not a known field")
			return false
		}
		err = check(v, f, here)
		return err == nil
	})
	return err
}

// note remembers a key: a few in a list, more in a map, so that a million keys take no million squared comparisons.
func note(seen [][]byte, many map[string]bool, name []byte) ([][]byte, map[string]bool) {
	if many != nil {
		many[string(name)] = true
		return nil, many
	}
	if seen = append(seen, name); len(seen) < 16 {
		return seen, nil
	}
	many = make(map[string]bool, 64)
	for _, s := range seen {
		many[string(s)] = true
	}
	return nil, many
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// concrete strips pointers; nil where the type reads JSON by itself or is not known.
func concrete(t reflect.Type) reflect.Type {
	for t != nil {
		if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

var shapes sync.Map // reflect.Type → its fields: a type is looked at once

// shape gives the exact field names of a struct, or the element type of a map; both nil where anything goes.
func shape(t reflect.Type) (fields map[string]reflect.Type, elem reflect.Type) {
	if t == nil {
		return nil, nil
	}
	switch t.Kind() {
	case reflect.Map:
		return nil, t.Elem()
	case reflect.Struct:
		if known, ok := shapes.Load(t); ok {
			return known.(map[string]reflect.Type), nil
		}
		fields = map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case !f.IsExported() || name == "-":
			case f.Anonymous && name == "":
			case name == "":
				fields[f.Name] = f.Type
			default:
				fields[name] = f.Type
			}
		}
		shapes.Store(t, fields)
		return fields, nil
	}
	return nil, nil
}

// argument makes the fault. A path is named only where every name in it looks like a field's: names, too, come from the client, and a model may
// have put a secret there. Hence no digits, no dashes, nothing long.
func argument(path, what string) *fault.Error {
	msg := what
	if nameable(path) {
		msg = "argument " + path + ": " + what
	} else if path != "" {
		msg = "an argument: " + what
	}
	return fault.New(fault.InvalidArgument, msg, "compare the arguments with the tool's input schema and call again")
}

// fieldPath is compiled at its first use: the command line links this package too, and starts often.
var fieldPath = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z_]{1,24}((\.[A-Za-z_]{1,24})|(\[[0-9]{1,6}\])){0,4}$`)
})

func nameable(path string) bool { return fieldPath().MatchString(path) }

// typeFault tells which field has the wrong type; json's own text would hold the value ("number 123").
func typeFault(err error) error {
	var te *json.UnmarshalTypeError
	if errors.As(err, &te) {
		return argument(te.Field, "must be "+wanted(te.Type))
	}
	var fe *fault.Error
	if errors.As(err, &fe) {
		return fe
	}
	return argument("", "the arguments cannot be read")
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number in range"
	}
}
