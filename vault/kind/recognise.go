package kind

import (
	"bytes"
	"slices"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Guess is what a value by itself, and the name of the variable that held it, tell of it.
type Guess struct {
	Kind  string            // telegram_bot, database, api_key, generic
	Field string            // where the value goes
	Attrs map[string]string // public: env, service
	Note  string            // for the person; "" where there is nothing to say
}

// minHead is the shortest fixed beginning by which a key alone tells its service: "sk-" is many's.
const minHead = 4

// Recognise says what kind of resource a single value is: by its own shape first, for names are given at will; then by the variable's name, which the catalogue has.
// What is not known is generic. Recognise does not say that the value is valid: Validate does.
func Recognise(name string, value secret.Secret) Guess {
	v := bytes.TrimSpace(value.Reveal())
	env := map[string]string{}
	if EnvNameAllowed(name) {
		env["env"] = name
	}
	switch {
	case botToken.Match(v):
		return Guess{Kind: "telegram_bot", Field: "token"}
	case isDatabaseURL(v):
		return Guess{Kind: "database", Field: "url", Attrs: env}
	}
	if s, ok := serviceOf(name, v); ok {
		attrs := map[string]string{"service": s.Name}
		if env["env"] != "" && !slices.Contains(s.Env, name) {
			attrs["env"] = name
		}
		return Guess{Kind: "api_key", Field: "key", Attrs: attrs}
	}
	g := Guess{Kind: "generic", Field: "value", Attrs: env}
	if bytes.HasPrefix(v, []byte("-----BEGIN ")) && bytes.Contains(v, []byte("PRIVATE KEY-----")) {
		g.Note = "a private key without its server: with the address it could be a resource of kind server"
	} else if name != "" && env["env"] == "" {
		g.Note = "no variable of that name may be set: it gets " + genericEnv
	}
	return g
}

func isDatabaseURL(v []byte) bool {
	p, ok := ParseDatabaseURL(v)
	clear(p.Password)
	return ok
}

// serviceOf finds the one service whose key this is: its keys begin as no other's do, or its clients read this variable.
func serviceOf(name string, v []byte) (found Service, ok bool) {
	longest := minHead - 1
	for _, s := range Services() {
		m := literalHead.FindStringSubmatch(s.Key)
		if m == nil || s.shape == nil || len(m[1]) < longest || !usable(s) || !s.shape.Match(v) {
			continue
		}
		ok = len(m[1]) > longest // two that begin alike tell nothing
		found, longest = s, len(m[1])
	}
	if ok {
		return found, true
	}
	for _, s := range Services() {
		if name != "" && slices.Contains(s.Env, name) && usable(s) {
			return s, true
		}
	}
	return Service{}, false
}

// usable tells whether a key alone makes a resource of the service.
func usable(s Service) bool { return s.Refused == "" && !s.NeedsUsername() }
