package kind

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Service is one row of api_key's catalogue: how a well-known service takes its key, and where.
type Service struct {
	Name  string // frozen once public
	Title string
	Env   []string // variables that get the key
	// UserEnv is the variable that gets the user name of a service with two parts; "" where there is none.
	UserEnv string
	// Header and Template say where the key goes: {value} is the key. Under Basic, Template is user and password before they are encoded, and
	// {username} is the attribute.
	Header   string
	Template string
	Basic    bool
	Also     []Swap // further places that its clients use
	// Hosts are rules as policy.ParseHostRule reads them, with what makes or shows keys denied.
	Hosts []string
	// Key is the shape of its keys where that is known; a mismatch warns and no more, for shapes change.
	Key    string
	Spaced bool // its keys hold blanks
	// Looks is how its placeholders look, where the head of Key does not say it all.
	Looks Shape
	Doc   string
	// NoStandIn says why a placeholder cannot serve it, though pinned commands may hold its key. Refused says why it is not taken at all.
	NoStandIn string
	Refused   string

	rules []policy.HostRule
	shape *lazyregexp.Regexp
}

// bearer and friends are the usual templates.
const (
	auth   = "Authorization"
	bearer = "Bearer {value}"
	bare   = "{value}"
)

// services is the catalogue by name, read at the first use: most starts of the program never ask.
var services = sync.OnceValue(func() map[string]Service { return index(catalogue()) })

// index reads the rows. A bad one is a defect: it panics at the first use, and in every test of this package.
func index(rows []Service) map[string]Service {
	m := make(map[string]Service, len(rows))
	for _, s := range rows {
		for _, h := range s.Hosts {
			r, err := policy.ParseHostRule(h)
			if err != nil {
				panic("kind: a host rule of service " + s.Name + " is not valid")
			}
			s.rules = append(s.rules, r)
		}
		if s.Key != "" {
			s.shape = lazyregexp.New(s.Key)
		}
		if _, twice := m[s.Name]; twice {
			panic("kind: service " + s.Name + " is there twice")
		}
		m[s.Name] = s
	}
	return m
}

// Services gives the catalogue, by name.
func Services() []Service {
	out := make([]Service, 0, len(services()))
	for _, s := range services() {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// LookupService gives one row; unknown_service otherwise.
func LookupService(name string) (Service, error) {
	if s, ok := services()[name]; ok {
		return s, nil
	}
	var known []string
	for _, s := range Services() {
		if s.Refused == "" {
			known = append(known, s.Name)
		}
	}
	return Service{}, fault.New(fault.UnknownService, "there is no such service in the catalogue",
		"leave service out and give `--set env=NAME --set hosts=HOST`, or use one of "+strings.Join(known, ", "))
}

// Rules gives copies of the host rules.
func (s Service) Rules() []policy.HostRule { return slices.Clone(s.rules) }

// NeedsUsername tells whether the person must give one.
func (s Service) NeedsUsername() bool { return strings.Contains(s.Template, "{username}") }
