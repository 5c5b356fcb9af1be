// Package contract reads what a project says about its environment: fragments named env.contract.yaml, one for each part of a repository, merged into one
// contract with one canonical form.
//
// Promise: what Parse lets through is exactly what the format knows, bounded, and means one thing to every reader; what Merge lets through names every
// variable once; the same fragments in any order give the same bytes. A refusal names lines, variables and fields, and repeats no value: people paste
// secrets into the wrong file (threat-model.md 65).
//
// Attacks stopped: a contract comes out of a repository that an agent writes, so it is hostile input: aliases and deep nesting that blow up (67), keys given
// twice or written as YAML readers disagree on, variables that steer a loader, a shell or a proxy (23), a derived value that refers to itself for ever,
// a secret written down as a literal.
//
// Limits: a contract says what variables are for, and cannot be checked against what a program does with them. Where a derived value puts a secret into
// another variable, that variable is as secret as what it is made of (vault/variable sees to that); no contract makes one less so.
package contract

import (
	"maps"
	"slices"
)

// Format is the number of the canonical form.
const Format = 1

// Version is what a fragment's version says.
const Version = "1"

// Bounds of what is read.
const (
	MaxFragment  = 128 << 10 // bytes of one fragment
	MaxFragments = 64        // of one contract
	MaxEntries   = 512       // of one contract
	MaxValue     = 8 << 10   // bytes of a literal or a template
	maxList      = 32        // environments, consumers
	maxText      = 500       // characters of a description
	maxProblems  = 20        // that one refusal tells
)

// Production is the environment that is resolved where none is named.
const Production = "production"

// Source says where a variable's value comes from. Names are frozen.
type Source string

// The sources.
const (
	UserSecret Source = "user_secret"      // a person gives it
	Generated  Source = "generated_secret" // zavhoz makes it, once
	Allocation Source = "allocation"       // what the project was allocated: a port, an attribute of a resource
	Derived    Source = "derived"          // made from others and from the project, by its template or its name
	Literal    Source = "literal"          // written in the contract
)

var sources = []Source{UserSecret, Generated, Allocation, Derived, Literal}

// Form is how a generated secret is written. Names are frozen.
type Form string

// The forms of generated secrets. All have at least 256 bits of chance, but Password, which has 190.
const (
	URLSafe     Form = "urlsafe"      // 32 bytes, base64 with - and _, unpadded: 43 characters. The default
	Hex         Form = "hex"          // 32 bytes, 64 characters of 0-9a-f
	Hex64       Form = "hex64"        // 64 bytes, 128 characters: what Rails wants of SECRET_KEY_BASE
	Fernet      Form = "fernet"       // 32 bytes, base64 with - and _, padded: what Fernet and many encryption libraries take as a key
	LaravelKey  Form = "laravel"      // "base64:" and 32 bytes in padded base64: Laravel's APP_KEY
	AlphaNumber Form = "alphanumeric" // 43 letters and digits: 256 bits
	Password    Form = "password"     // 32 letters and digits, at least one of each case and a digit: for services with a limit
)

// Forms gives every form.
func Forms() []Form { return []Form{URLSafe, Hex, Hex64, Fernet, LaravelKey, AlphaNumber, Password} }

// Entry is one variable as a contract declares it. Lists are sorted. The JSON is the canonical form.
type Entry struct {
	Attribute    string   `json:"attribute,omitempty"` // of Resource
	Consumers    []string `json:"consumers"`           // parts of the project that read it
	Description  string   `json:"description"`         // one line for the person who is asked
	Environments []string `json:"environments"`
	Form         Form     `json:"form,omitempty"` // generated_secret
	Required     bool     `json:"required"`
	Resource     string   `json:"resource,omitempty"` // allocation: a resource's handle
	Sensitive    bool     `json:"sensitive"`
	Service      string   `json:"service,omitempty"` // allocation: whose port
	Source       Source   `json:"source"`
	Template     string   `json:"template,omitempty"` // derived; "": by the variable's name
	Value        string   `json:"value,omitempty"`    // literal
}

// Fragment is one env.contract.yaml.
type Fragment struct {
	Owner   string
	Entries map[string]Entry
}

// Contract is what a project's fragments say together.
type Contract struct {
	Entries map[string]Entry `json:"entries"`
	Format  int              `json:"format"`
	Owners  []string         `json:"owners"` // sorted, each once
}

// Names gives the variables in order.
func (c Contract) Names() []string { return slices.Sorted(maps.Keys(c.Entries)) }

// For gives the contract with the entries of one environment alone.
func (c Contract) For(environment string) Contract {
	out := Contract{Format: c.Format, Owners: c.Owners, Entries: map[string]Entry{}}
	for name, e := range c.Entries {
		if slices.Contains(e.Environments, environment) {
			out.Entries[name] = e
		}
	}
	return out
}
