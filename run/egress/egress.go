package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Resource is what a run may reach, and how.
type Resource struct {
	Handle string
	ID     string
	Rules  []policy.HostRule // kind.Rules: what the command may do there
	// Mints are the key endpoints that a person lifted the denial of (kind.Mints): allowed only to who captures the reply (see Proxy.RoundTrip).
	Mints   []policy.HostRule
	Swaps   []Swap
	Holds   bool                  // the command holds the value itself (a pinned one): nothing is swapped, the rules hold all the same
	Private bool                  // may reach private addresses
	Resolve map[string]netip.Addr // by canonical host: dialled there and nowhere else
	Roots   *x509.CertPool        // nil: the system's
}

// Swap is one place for a true value, as kind.Swap.
type Swap struct {
	Placeholder string
	Header      string // canonical; "" where it is in the path
	Template    string // "Bearer {value}"; under Basic user and password, where "*" as one half stands for any
	Basic       bool
	Path        string // "/bot{value}/"
	// Value gives the true value, when a request needs it. It is not kept; it is the caller's to wipe or to cache.
	Value func() (secret.Secret, error)
}

// Options of New.
type Options struct {
	RunID       string
	Resources   []Resource
	PassThrough []policy.HostRule // tunnelled unread, without credential; what a resource reaches too is not
	// Matcher gives what must not come back, at each reply. May be nil: then only the values that this proxy itself sent.
	Matcher func() []*redact.Matcher
	// Counted is told how many matches a reply held. An error cuts the run off. May be nil.
	Counted func(redactions int) error
	// Record writes one event. An error cuts the run off: what cannot be recorded does not happen. Required.
	Record func(Event) error
	Log    *slog.Logger // may be nil

	// Life is how long the run may last: its authority holds for so long. 0: 24 h; more than 30 days are 30 days.
	Life     time.Duration
	MaxConns int              // of the command, at once; 0: 512
	Now      func() time.Time // may be nil
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Event is one request, tunnel or refusal. It holds no query, no header and nothing of a secret.
type Event struct {
	Time       time.Time
	Duration   time.Duration
	RunID      string
	Decision   Decision
	Code       fault.Code // of a refusal or failure
	Method     string     // "" of a tunnel
	Host       string     // canonical; "" where it was none
	Port       int
	Path       string // normal, without the segment that holds a credential, bounded
	Status     int    // of the reply as the command saw it; 0: none
	Resource   string // handle, several apart by ","
	Credential bool   // whether one was put in
	Up, Down   int64  // bytes of the bodies; of a tunnel, all
	Redactions int
	Hint       string // what the command's author should know of a request that was let through; of our own words
}

// Decision says what became of a request. Names are frozen.
type Decision string

// The decisions.
const (
	Allowed Decision = "allowed"
	Denied  Decision = "denied"
	Failed  Decision = "failed" // allowed, but there was no usable reply
	Passed  Decision = "passed" // a tunnel
)

// The sentinels of this package.
var (
	errNoRecord = errors.New("egress: a record function is required")
	errTwice    = errors.New("egress: two resources have the same placeholder, or one has none")
	errClosed   = errors.New("egress: the proxy is closed")
)
