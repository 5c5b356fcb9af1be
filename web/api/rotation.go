package api

import "time"

// RotateResource asks for a new credential for a resource. Secrets are the new values, where a person makes them.
type RotateResource struct {
	Method         string           `json:"method,omitempty"` // "": the one that fits
	Secrets        map[string]Value `json:"secrets,omitempty"`
	Generate       int              `json:"generate,omitempty"` // length of a value to be made here
	Alphabet       string           `json:"alphabet,omitempty"`
	OverlapS       *int64           `json:"overlap_s,omitempty"`       // absent: the method's
	AuthorizedKeys string           `json:"authorized_keys,omitempty"` // path on the server
	Purge          bool             `json:"purge,omitempty"`           // the end forgets the old value, whatever the method does by itself
}

// RotationPlan is what a rotation would do.
type RotationPlan struct {
	Handle   string   `json:"handle"`
	Method   string   `json:"method"`
	Summary  string   `json:"summary"`
	Guided   bool     `json:"guided"`           // a person gives the new value
	Fields   []string `json:"fields,omitempty"` // in which
	Steps    []string `json:"steps"`
	OverlapS int64    `json:"overlap_s"`
	Purge    bool     `json:"purge"`            // the end forgets the old value
	Compared bool     `json:"compared"`         // what else holds the old value was looked for: only where presence is proven, or nothing proves it
	Shared   []string `json:"shared,omitempty"` // what does: it stops working there
}

// ResourceRotation is where the rotation of a resource's credential is.
type ResourceRotation struct {
	Resource string     `json:"resource"`
	Handle   string     `json:"handle"`
	Version  uint64     `json:"version"`          // of the resource, now
	Method   string     `json:"method,omitempty"` // "" with the step none
	Step     string     `json:"step"`             // the last that is done; done, aborted, or none where none is under way
	Working  bool       `json:"working,omitempty"`
	OverlapS int64      `json:"overlap_s,omitempty"`
	Until    *time.Time `json:"until,omitempty"` // when the old credential is retired
	Purge    bool       `json:"purge,omitempty"` // then it is forgotten, too
	BegunAt  *time.Time `json:"begun_at,omitempty"`
	BegunBy  string     `json:"begun_by,omitempty"`
	Code     string     `json:"code,omitempty"` // why the last try did not get on
	Message  string     `json:"message,omitempty"`
	Next     string     `json:"next,omitempty"`
	Remarks  []string   `json:"remarks,omitempty"`
}
