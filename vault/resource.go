package vault

import (
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Status says whether a resource may be used.
type Status string

// The statuses of a resource, frozen.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
	Gone     Status = "gone" // not in the file that is its home; what it was is kept for when it comes back
)

// Sealed is one secret or hidden field as it is kept.
type Sealed struct {
	Value   string `json:"value"`   // zvh1:…
	Version uint64 `json:"version"` // the resource's version in which it was sealed: part of the associated data
	Class   string `json:"class"`   // secret.LengthClass, for people

	// Ref is where the value is kept, where that is not this resource: a project's secret that an environment lends to one run. Never stored.
	Ref *keyring.Ref `json:"-"`
}

// Resource is a credential or a machine. The record is readable; what is secret or hidden in it is sealed.
type Resource struct {
	Format    int               `json:"format"` // 1
	ID        string            `json:"id"`     // res_…, never changes
	Handle    string            `json:"handle"` // may be renamed; unique
	Kind      string            `json:"kind"`
	Attrs     map[string]string `json:"attrs,omitempty"`   // public: a model may read them
	Sealed    map[string]Sealed `json:"secrets,omitempty"` // by field; secret and hidden
	Labels    map[string]string `json:"labels,omitempty"`
	Project   string            `json:"project"` // slug; "default"
	Policy    policy.Policy     `json:"policy"`
	Status    Status            `json:"status"`
	Version   uint64            `json:"version"` // from 1
	Uses      uint64            `json:"-"`
	Remarks   []string          `json:"-"` // of the validation that just took place, for the person: likely mistakes, fingerprints
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	UpdatedBy string            `json:"updated_by"`
	Why       string            `json:"why,omitempty"`
	Source    string            `json:"source,omitempty"`   // the file that is its home: sops:NAME; "" for the vault alone
	MovesTo   string            `json:"moves_to,omitempty"` // the handle that its file is being given; see BeginMove
}

// NewResource is what AddResource takes. Secrets are wiped by it, whatever happens.
type NewResource struct {
	Kind    string
	Handle  string // "" for a generated one
	Attrs   map[string]string
	Secrets map[string]secret.Secret
	Labels  map[string]string
	Project string // "" for "default"
	Policy  policy.Policy
	Why     string
	Source  string // the file that is its home; "" for the vault alone
	// From is what a captured resource takes its rules from, as they were read: id → version. Keep refuses it where one has changed since.
	From map[string]uint64

	asked func(tx store.Tx, rehearsed bool) error // has its say in the transaction that stores it, and before in the rehearsal, which writes nothing; nil: nothing has
}

// Edit is what EditResource changes; nil maps change nothing, an empty value in Attrs or Labels removes.
type Edit struct {
	Attrs     map[string]string
	Secrets   map[string]secret.Secret
	Labels    map[string]string
	Project   *string
	Status    *Status
	Policy    *policy.Policy // widening: the operator's door only
	IfVersion uint64         // 0: whatever it is
	Why       string
}

// Version is one row of a resource's history.
type Version struct {
	Version   uint64    `json:"version"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
	Why       string    `json:"why,omitempty"`
	Changed   []string  `json:"changed"` // names of fields, "policy", "labels", …
}

// Filter selects resources. Empty fields select all.
type Filter struct {
	Kind    string
	Project string
	// Projects are those that whoever asks is bound to; nil: all.
	Projects []string
	Label    string // "key=value" or "key"
	Cursor   string // from the page before
	Limit    int    // default 50, at most 500
}
