package tools

import (
	"fmt"

	"github.com/zavhoz/zavhoz/run/capture"
)

// captureIn asks for parts of a reply to become a new resource.
type captureIn struct {
	Handle  string            `json:"handle"`
	Kind    string            `json:"kind"`
	Fields  map[string]string `json:"fields"`
	Purpose string            `json:"purpose"`
}

// captureProperty is the schema of a capture argument; kinds is the list that the tool allows, quoted.
func captureProperty(kinds, description string) string {
	return `"capture":{"type":"object","properties":{` +
		`"handle":{"type":"string","maxLength":64,"description":"of the new resource"},` +
		`"kind":{"type":"string","enum":[` + kinds + `],"description":"default generic"},` +
		`"fields":{"type":"object","maxProperties":8,"additionalProperties":{"type":"string","maxLength":264},"description":"sealed field → where it stands: a JSON pointer to a string (/data/token) or regex: and literal text around one group for the whole value (regex:token=(\\S+))"},` +
		`"purpose":{"type":"string","maxLength":120}},"required":["handle","fields"],"additionalProperties":false,"description":"` + description + `"}`
}

// spec is the capture as the engine takes it; nil for none.
func (c *captureIn) spec() *capture.Spec {
	if c == nil {
		return nil
	}
	s := &capture.Spec{Handle: c.Handle, Kind: c.Kind, Purpose: c.Purpose, Fields: map[string]capture.Field{}}
	for name, place := range c.Fields {
		s.Fields[name] = capture.ParseField(place)
	}
	return s
}

// capturedOut is what a model learns of a captured resource: no value has room in it.
type capturedOut struct {
	Handle string            `json:"handle"`
	Kind   string            `json:"kind"`
	Fields map[string]string `json:"fields"` // field → length class
}

const capturedProperty = `"captured":{"type":["object","null"],"properties":{"handle":{"type":"string"},"kind":{"type":"string"},"fields":{"type":"object","additionalProperties":{"type":"string"}}},` +
	`"required":["handle","kind","fields"],"additionalProperties":false}`

func capturedView(k *capture.Kept) *capturedOut {
	if k == nil {
		return nil
	}
	return &capturedOut{k.Handle, k.Kind, nonNil(k.Fields)}
}

// capturedText is the sentence of a capture; "" for none.
func capturedText(k *capture.Kept) string {
	switch {
	case k == nil:
		return ""
	case k.Kind == capture.APIKey:
		return fmt.Sprintf(" Captured as %s, for use at the host that it came from. What it was cut from is not shown.", k.Handle)
	}
	return fmt.Sprintf(" Captured as %s; a person says where it may go: `zavhoz resource policy %s`. What it was cut from is not shown.", k.Handle, k.Handle)
}
