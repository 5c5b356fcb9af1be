package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

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
	w := walker{dec: json.NewDecoder(bytes.NewReader(raw))}
	w.dec.UseNumber()
	if raw[0] != '{' {
		return argument("", "the arguments must be a JSON object")
	}
	if err := w.value(reflect.TypeOf(into), "", 0); err != nil {
		return err
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return argument("", "there is more after the arguments' object")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return typeFault(err)
	}
	return nil
}

// walker goes over the tokens of a document beside the Go type that it will be decoded into.
type walker struct{ dec *json.Decoder }

func (w *walker) value(t reflect.Type, path string, depth int) error {
	tok, err := w.dec.Token()
	if err != nil {
		return argument(path, "not valid JSON")
	}
	d, nested := tok.(json.Delim)
	if !nested {
		return nil
	}
	if depth >= MaxDepth {
		return argument("", "the arguments nest deeper than "+strconv.Itoa(MaxDepth)+" levels")
	}
	if d == '{' {
		err = w.object(t, path, depth)
	} else {
		err = w.array(t, path, depth)
	}
	if err != nil {
		return err
	}
	if _, err := w.dec.Token(); err != nil { // the closing delimiter
		return argument(path, "not valid JSON")
	}
	return nil
}

func (w *walker) array(t reflect.Type, path string, depth int) error {
	var elem reflect.Type
	if t = concrete(t); t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	for i := 0; w.dec.More(); i++ {
		if err := w.value(elem, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) object(t reflect.Type, path string, depth int) error {
	fields, elem := shape(concrete(t))
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return argument(path, "not valid JSON")
		}
		name, _ := tok.(string)
		at := join(path, name)
		if seen[name] {
			return argument(at, "given twice")
		}
		seen[name] = true
		next := elem
		if fields != nil {
			f, ok := fields[name]
			if !ok {
				return argument(at, "not a known field")
			}
			next = f
		}
		if err := w.value(next, at, depth+1); err != nil {
			return err
		}
	}
	return nil
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

// shape gives the exact field names of a struct, or the element type of a map; both nil where anything goes.
func shape(t reflect.Type) (fields map[string]reflect.Type, elem reflect.Type) {
	if t == nil {
		return nil, nil
	}
	switch t.Kind() {
	case reflect.Map:
		return nil, t.Elem()
	case reflect.Struct:
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
		return fields, nil
	}
	return nil, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// argument makes the fault. A path that is long or holds anything but plain characters is left out: a name, too, comes from the client.
func argument(path, what string) *fault.Error {
	msg := what
	if nameable(path) {
		msg = "argument " + path + ": " + what
	} else if path != "" {
		msg = "an argument: " + what
	}
	return fault.New(fault.InvalidArgument, msg, "compare the arguments with the tool's input schema and call again")
}

func nameable(path string) bool {
	if path == "" || len(path) > 64 {
		return false
	}
	for _, c := range []byte(path) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '[' || c == ']'
		if !plain {
			return false
		}
	}
	return true
}

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
