package kind

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	extraName = lazyregexp.New(`^[a-z][a-z0-9_]{0,31}$`)
	errEnv    = errors.New("it is a variable's name (letters, digits, `_`) that does not steer a loader, a shell or a tool, as PATH, LD_… or GIT_… do")
)

// genericEnv is the variable of value where none is named.
const genericEnv = "SECRET_VALUE"

// Any sealed field that a person names is allowed beside value; field client_id fills CLIENT_ID, or what the attribute env_client_id names.
var _ = register(Kind{
	Name:    "generic",
	Summary: "anything else: one value, or several under names of your own",
	Fields: []Field{
		{Name: "env", Class: Public, Help: "variable that gets the value; default " + genericEnv, Steers: true, Check: checkEnvName},
		{Name: "fields", Class: Public, Derived: true, Help: "names of the other sealed fields"},
		{Name: "value", Class: Secret, MinLen: 1, Multiline: true, Help: "the value", Clean: trimOneLine},
	},
	Extra: func(name string) (Field, bool) {
		if field, ok := strings.CutPrefix(name, "env_"); ok && extraName.MatchString(field) {
			return Field{Name: name, Class: Public, Steers: true, Check: checkEnvName}, true
		}
		return Field{Name: name, Class: Secret, MinLen: 1, Multiline: true, Clean: trimOneLine}, extraName.MatchString(name)
	},
	Check: checkGeneric,
	Env: func(attrs map[string]string) []EnvVar {
		var vars []EnvVar
		for _, f := range strings.Fields(strings.ReplaceAll(attrs["fields"], ",", " ")) {
			vars = append(vars, EnvVar{Name: genericVar(attrs, f), Field: f})
		}
		return vars
	},
	Uses: func(attrs map[string]string) string {
		return "pinned commands that take it in " + strings.Join(genericVars(attrs), ", ")
	},
	Unsupported: func(map[string]string) string {
		return "nothing is known of where a generic value goes, so no placeholder can stand in for it: pin a command that may hold it"
	},
	Deliveries: []policy.Delivery{policy.Env, policy.File},
})

func genericVar(attrs map[string]string, field string) string {
	if field == "value" {
		if attrs["env"] != "" {
			return attrs["env"]
		}
		return genericEnv
	}
	if name := attrs["env_"+field]; name != "" {
		return name
	}
	return strings.ToUpper(field)
}

func genericVars(attrs map[string]string) []string {
	var out []string
	for _, f := range strings.Fields(strings.ReplaceAll(attrs["fields"], ",", " ")) {
		out = append(out, genericVar(attrs, f))
	}
	return out
}

// checkGeneric lists the sealed fields in the public attribute that Env reads, and refuses variables that clash or may not be set.
func checkGeneric(d *Draft) error {
	if len(d.Secrets) == 0 {
		return missing("generic", "value")
	}
	var fields []string
	for f, v := range d.Secrets {
		fields = append(fields, f)
		if v.Len() < MinRedacted {
			d.Warn(fmt.Sprintf("%s is shorter than %d bytes and cannot be kept out of output reliably: no agent's run gets it, only your own `zavhoz run --open`", f, MinRedacted))
		}
	}
	slices.Sort(fields)
	d.Attrs["fields"] = strings.Join(fields, ",")
	var seen []string
	for _, f := range fields {
		name := genericVar(d.Attrs, f)
		if !EnvNameAllowed(name) || slices.Contains(seen, name) {
			attr := "env_" + f
			if f == "value" {
				attr = "env"
			}
			return Field{Name: f, Class: Public}.bad("its variable is taken or may not be set; name another with `--set " + attr + "=NAME`")
		}
		seen = append(seen, name)
	}
	for a := range d.Attrs {
		if f, ok := strings.CutPrefix(a, "env_"); ok && !slices.Contains(fields, f) {
			return Field{Name: a, Class: Public}.bad("there is no sealed field of that name")
		}
	}
	return nil
}

func checkEnvName(v []byte) error {
	if !EnvNameAllowed(string(v)) {
		return errEnv
	}
	return nil
}

// trimOneLine drops the line ends after a value that is one line: what echo and editors add. A value of several lines keeps them all.
func trimOneLine(v []byte) []byte {
	if t := bytes.TrimRight(v, "\n"); !bytes.ContainsRune(t, '\n') {
		return t
	}
	return v
}
