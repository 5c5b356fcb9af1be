package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// shape is the part of JSON Schema that the tools' inputs are written in. What a schema promises is what a call is held to: there is no second list of
// limits that could differ from the one that a model reads.
type shape struct {
	Type          string            `json:"type"`
	Properties    map[string]*shape `json:"properties"`
	Required      []string          `json:"required"`
	More          json.RawMessage   `json:"additionalProperties"` // false, or the shape of what a caller names
	Items         *shape            `json:"items"`
	MinLength     *int              `json:"minLength"` // characters
	MaxLength     *int              `json:"maxLength"`
	MinItems      *int              `json:"minItems"`
	MaxItems      *int              `json:"maxItems"`
	MaxProperties *int              `json:"maxProperties"`
	Minimum       *int64            `json:"minimum"`
	Maximum       *int64            `json:"maximum"`

	more *shape // of More
}

// parseShape reads an input schema; one that cannot be read is a defect.
func parseShape(raw json.RawMessage) *shape {
	s := &shape{}
	if err := json.Unmarshal(raw, s); err != nil {
		panic("tools: an input schema cannot be read")
	}
	s.finish()
	return s
}

func (s *shape) finish() {
	for _, p := range s.Properties {
		p.finish()
	}
	if s.Items != nil {
		s.Items.finish()
	}
	if len(s.More) > 0 && s.More[0] == '{' {
		s.more = parseShape(s.More)
	}
}

// checked makes a tool refuse what its own input schema does. Names that are unknown, doubled or of another case are mcp.Decode's, in the tool.
func checked(t mcp.Tool) mcp.Tool {
	s, handle := parseShape(t.Input), t.Handle
	t.Handle = func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
		var sound map[string]json.RawMessage
		if err := mcp.Decode(c.Arguments, &sound); err != nil { // valid, not deep, no name twice: from here on the plain decoder may be used
			return mcp.Result{}, err
		}
		if sound == nil {
			sound = map[string]json.RawMessage{}
		}
		if err := s.object("", sound); err != nil {
			return mcp.Result{}, err
		}
		return handle(ctx, c)
	}
	return t
}

// wrong is the refusal. The path is made of the schema's own names and of numbers; the value is never in it.
func wrong(path, format string, args ...any) error {
	return fault.New(fault.InvalidArgument, "argument "+path+": "+fmt.Sprintf(format, args...), "compare the arguments with the tool's input schema and call again")
}

func (s *shape) check(path string, raw json.RawMessage) error {
	switch s.Type {
	case "string":
		var v string
		if raw[0] != '"' || json.Unmarshal(raw, &v) != nil {
			return wrong(path, "must be a string")
		}
		return s.sized(path, utf8.RuneCountInString(v))
	case "integer":
		v, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return wrong(path, "must be a whole number")
		}
		return s.within(path, v)
	case "boolean":
		if raw[0] != 't' && raw[0] != 'f' {
			return wrong(path, "must be true or false")
		}
	case "array":
		var v []json.RawMessage
		if raw[0] != '[' || json.Unmarshal(raw, &v) != nil {
			return wrong(path, "must be an array")
		}
		return s.array(path, v)
	case "object":
		var v map[string]json.RawMessage
		if raw[0] != '{' || json.Unmarshal(raw, &v) != nil {
			return wrong(path, "must be an object")
		}
		return s.object(path+".", v)
	}
	return nil
}

func (s *shape) sized(path string, n int) error {
	switch {
	case s.MaxLength != nil && n > *s.MaxLength:
		return wrong(path, "at most %d characters", *s.MaxLength)
	case s.MinLength != nil && n < *s.MinLength:
		return wrong(path, "at least %d characters", *s.MinLength)
	}
	return nil
}

func (s *shape) within(path string, n int64) error {
	switch {
	case s.Minimum != nil && n < *s.Minimum:
		return wrong(path, "at least %d", *s.Minimum)
	case s.Maximum != nil && n > *s.Maximum:
		return wrong(path, "at most %d", *s.Maximum)
	}
	return nil
}

func (s *shape) array(path string, v []json.RawMessage) error {
	switch {
	case s.MaxItems != nil && len(v) > *s.MaxItems:
		return wrong(path, "at most %d elements", *s.MaxItems)
	case s.MinItems != nil && len(v) < *s.MinItems:
		return wrong(path, "at least %d elements", *s.MinItems)
	}
	for i, e := range v {
		if err := s.Items.check(path+"["+strconv.Itoa(i)+"]", bytes.TrimSpace(e)); err != nil {
			return err
		}
	}
	return nil
}

// object checks members in order of name, so that a call with two faults is always refused for the same one. before is the path with its dot.
func (s *shape) object(before string, v map[string]json.RawMessage) error {
	if s.MaxProperties != nil && len(v) > *s.MaxProperties {
		return wrong(before[:len(before)-1], "at most %d entries", *s.MaxProperties)
	}
	for _, name := range sorted(v) {
		p, path := s.Properties[name], before+name
		if p == nil && s.more != nil {
			p, path = s.more, before+"*" // the name is the caller's
		}
		if p == nil {
			continue
		}
		if err := p.check(path, bytes.TrimSpace(v[name])); err != nil {
			return err
		}
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return wrong(before+name, "is required")
		}
	}
	return nil
}

func sorted(m map[string]json.RawMessage) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
