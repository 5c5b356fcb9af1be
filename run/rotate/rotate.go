// Package rotate exchanges the credential of one resource for a new one: a password, an ssh key, a token.
//
// Promise: at every moment, also after a kill -9, a full disk or a lost network between any two steps, a credential that works is sealed in the vault, and what is
// on record says which steps are left. The new one is sealed before anything elsewhere knows it (where another service makes it: before the old one is touched);
// it is proven by a login of its own before the resource has it; the old one is taken away last, by the login of the new one. Each step can be done again: it looks
// at what is there instead of trusting that nothing was. A rotation that stopped goes on by Resume or goes back by Abort, and a resource has one at a time.
//
// A Method is how one sort of credential is exchanged: one file, which registers itself; adding one touches no other. What none knows is guided: a person makes
// the new value and gives it.
//
// Runs and leases go on: the resource becomes a new version, so connections of the old one take no new sessions and end with their last, and the egress proxy reads
// the value anew for each request. The redactor knows both values as long as the vault holds them.
//
// Attacks stopped: a credential that leaked is good no longer (threat-model.md 1 to 5); the new one in a server's log, history or list of processes (65): a database gets
// a verifier, a server a public key, on standard input; an impostor that is given the new key: the host key is pinned, as always (48); a person's slip (another
// bot's token, the old value again); the agent's shell that would exchange a key for its own (70): the door asks for presence.
//
// Limits: who holds the old credential may use it until it is retired, and may have made others with it. Other places that have the old one (a copy elsewhere, a second
// resource with the same key) lose it when it is retired. A service that makes tokens may leave one behind that nobody holds where zavhoz dies before it has read the
// reply; the next try finds it by its name and takes it away. Cloudflare's and Telegram's sides were tried against servers of our own only.
package rotate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Method is how one sort of credential is exchanged. Functions may be nil where there is nothing to do. Each may be called again after a stop at any point within it.
type Method struct {
	Name    string // part of the vault's format
	Summary string // one line for people
	Rank    int    // of those that serve, the highest is taken
	Serves  func(r vault.Resource, q Request) bool
	// Steps tells a person what will be done, in order.
	Steps func(r vault.Resource, q Request) []string
	// Guided: a person gives the new value.
	Guided bool
	// Ends: the old credential ends in the moment of the new one's installation. There is no overlap then.
	Ends bool
	// Purges: with the end of the overlap the versions before go for good, asked for or not.
	Purges bool
	// Fields are those whose values stop working with the old credential; nil: every secret field.
	Fields []string
	// Overlap is how long the old one stays where nothing else is asked for.
	Overlap time.Duration

	// Notes gives what is on record from the beginning.
	Notes func(ctx context.Context, j *Job, q Request) (map[string]string, error)
	// Make makes the new credential here: secret fields of the resource.
	Make func(ctx context.Context, j *Job, q Request) (map[string]secret.Secret, error)
	// Create has another service make it; what a try before left there, it takes away.
	Create func(ctx context.Context, j *Job) (map[string]secret.Secret, map[string]string, error)
	// Install puts the new one where it belongs.
	Install func(ctx context.Context, j *Job) error
	// Prove shows that the new one works, by it alone.
	Prove func(ctx context.Context, j *Job) error
	// Works shows that the old one does, before anything is taken back.
	Works func(ctx context.Context, j *Job) error
	// Retire takes the old one away, by the new one.
	Retire func(ctx context.Context, j *Job) error
	// Undo takes the new one away, and leaves an old one that works.
	Undo func(ctx context.Context, j *Job) error
}

// Request is what a rotation is asked for with. Secrets are wiped by who takes it.
type Request struct {
	Method         string // "" for the one that fits
	Secrets        map[string]secret.Secret
	Generate       int            // length of a value to be made here; 0: none
	Alphabet       string         // of it; "": letters and digits
	Overlap        *time.Duration // nil: the method's
	AuthorizedKeys string         // path on the server; "": .ssh/authorized_keys
	Purge          bool           // the end forgets the old value, also where the method keeps it as a former version
}

var methods = map[string]Method{}

// register is called by each method's file. A name that is taken is a defect.
func register(m Method) bool {
	if _, taken := methods[m.Name]; taken {
		panic("rotate: registered twice")
	}
	methods[m.Name] = m
	return true
}

var errDefect = errors.New("rotate: a defect")

// choose finds the method for a resource.
func choose(r vault.Resource, q Request) (Method, error) {
	var fit []Method
	for _, m := range methods {
		if (q.Method == "" || q.Method == m.Name) && m.Serves(r, q) && (len(q.Secrets) == 0 || m.Guided) {
			fit = append(fit, m)
		}
	}
	if len(fit) == 0 {
		return Method{}, fault.New(fault.NotSupported, "no such rotation is known for a resource of the kind "+r.Kind, "leave --method out; the methods are "+strings.Join(names(), ", "))
	}
	return slices.MaxFunc(fit, func(a, b Method) int { return cmp.Compare(a.Rank, b.Rank) }), nil
}

func names() []string {
	var out []string
	for n := range methods {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Plan is what a rotation would do.
type Plan struct {
	Method  string
	Summary string
	Guided  bool
	Fields  []string // that a person gives
	Steps   []string
	Overlap time.Duration
	Purge   bool // the end forgets the old value
	// Shared names what else holds the old value, and loses it. It is told where Compared says that it was looked for.
	Shared   []string
	Compared bool
}

// plan tells it without doing anything.
func plan(r vault.Resource, q Request) (Method, Plan, error) {
	m, err := choose(r, q)
	if err != nil {
		return m, Plan{}, err
	}
	p := Plan{Method: m.Name, Summary: m.Summary, Guided: m.Guided, Overlap: m.Overlap, Purge: m.Purges || q.Purge}
	if q.Overlap != nil {
		p.Overlap = *q.Overlap
	}
	switch {
	case p.Overlap < 0 || p.Overlap > vault.MaxOverlap:
		return m, p, fault.New(fault.InvalidArgument, "an overlap is at most a year", "")
	case m.Ends && p.Overlap > 0:
		return m, p, fault.New(fault.InvalidArgument, "the old value ends in the moment that the new one is installed: there can be no overlap", "leave --overlap out")
	}
	if m.Guided {
		p.Fields = given(r)
	}
	if m.Steps != nil {
		p.Steps = m.Steps(r, q)
	}
	if q.Purge && !m.Purges {
		p.Steps = append(p.Steps, "then every version from before is removed from the vault: the old value is forgotten, and no longer masked")
	}
	return m, p, nil
}

// given are the secret fields that a person gave.
func given(r vault.Resource) (out []string) {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return nil
	}
	for name := range r.Sealed {
		if f, ok := k.Lookup(name); ok && f.Class == kind.Secret && !f.Derived {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
