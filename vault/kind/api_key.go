package kind

import (
	"errors"
	"net/textproto"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	serviceName = lazyregexp.New(`^[a-z][a-z0-9_]{0,31}$`)
	apiUser     = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$`)
	headerName  = lazyregexp.New(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	headerText  = lazyregexp.New(`^[A-Za-z0-9_=,;. -]{0,64}\{value\}[A-Za-z0-9_=,;."-]{0,64}$`)

	errHeader = errors.New("it is a header and how the key stands in it: `Authorization: Bearer {value}`, `X-Api-Key: {value}`, or `basic` with a username")
)

// framing headers steer the request itself, not who makes it.
var framing = []string{"Host", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Proxy-Authorization",
	"Proxy-Connection", "Keep-Alive", "Accept-Encoding", "Range", "Location", "Origin", "Via", "Forwarded"}

var _ = register(Kind{
	Name:    "api_key",
	Summary: "the key of an HTTP API: of a known service, or of your own with its hosts",
	Fields: []Field{
		{Name: "service", Class: Public, Help: "a known service, such as openai", Steers: true, Clean: lower, Check: shape(serviceName, "a service is a name of the catalogue")},
		{Name: "env", Class: Public, Help: "variable that gets the key; known for known services", Steers: true, Check: checkEnvName},
		{Name: "hosts", Class: Public, Help: "where the key may go: HOST[:PORT] [METHODS] [/PATHS]; known for known services", Aliases: []string{"host"}, Steers: true, Clean: cleanRules, Check: checkRules},
		{Name: "header", Class: Public, Help: "header that carries the key; default Authorization: Bearer {value}", Steers: true, Clean: cleanHeader, Check: checkHeader},
		{Name: "username", Class: Public, Help: "for services that take a user name beside the key", Aliases: []string{"user", "account"}, Steers: true,
			Check: shape(apiUser, "a user name has letters, digits, `_ . @ + -`")},
		{Name: "key", Class: Secret, Required: true, Help: "the key", Aliases: []string{"token", "api_key", "password", "value"}},
	},
	Check:       checkAPIKey,
	Env:         apiKeyEnv,
	Swaps:       apiKeySwaps,
	Hosts:       func(attrs map[string]string) []policy.HostRule { return apiKeyRules(attrs, false) },
	Keys:        func(attrs map[string]string) []policy.HostRule { return apiKeyRules(attrs, true) },
	Uses:        apiKeyUses,
	Unsupported: func(attrs map[string]string) string { return services()[attrs["service"]].NoStandIn },
	Placeholder: apiKeyShape,
	Deliveries:  []policy.Delivery{policy.Broker, policy.None, policy.Env, policy.File},
	StandIn:     []policy.Delivery{policy.Broker, policy.None},
})

func checkAPIKey(d *Draft) error {
	var s Service
	if name := d.Attrs["service"]; name != "" {
		var err error
		if s, err = LookupService(name); err != nil {
			return err
		}
		if s.Refused != "" {
			return fault.New(fault.NotSupported, s.Title+" cannot be kept as an api_key: "+s.Refused,
				"keep it as `zavhoz resource add generic HANDLE --secret NAME=@FILE`, and pin the commands that may hold it")
		}
	} else if d.Attrs["env"] == "" || d.Attrs["hosts"] == "" {
		return fault.New(fault.InvalidArgument, "api_key needs a service of the catalogue, or a variable and hosts of its own",
			"give `--set service=NAME`, or `--set env=ACME_API_KEY --set hosts=api.acme.example`").With("fields", []string{"service", "env", "hosts"})
	}
	if (s.NeedsUsername() || d.Attrs["header"] == "basic") && d.Attrs["username"] == "" {
		return fault.New(fault.InvalidArgument, "this api_key needs a username beside the key", "give `--set username=NAME`").With("fields", []string{"username"})
	}
	key := d.Secrets["key"].Reveal()
	if key != nil && !s.Spaced {
		if err := checkKey(key); err != nil {
			return Field{Name: "key", Class: Secret}.bad(err.Error())
		}
	}
	if key != nil && s.shape != nil && !s.shape.Match(key) {
		d.Warn("the key does not look like one of " + s.Title + ": check that it is the right one")
	}
	return nil
}

func apiKeyEnv(attrs map[string]string) []EnvVar {
	s := services()[attrs["service"]]
	names := s.Env
	if own := attrs["env"]; own != "" {
		names = []string{own}
	}
	var vars []EnvVar
	for _, n := range names {
		vars = append(vars, EnvVar{Name: n, Field: "key"})
	}
	if s.UserEnv != "" {
		user := attrs["username"]
		if user == "" {
			user, _, _ = strings.Cut(s.Template, ":")
		}
		vars = append(vars, EnvVar{Name: s.UserEnv, Value: user})
	}
	return vars
}

func apiKeySwaps(attrs map[string]string) []Swap {
	s, known := services()[attrs["service"]]
	w := Swap{Field: "key", Header: s.Header, Template: s.Template, Basic: s.Basic}
	also := s.Also
	switch own := attrs["header"]; {
	case own == "basic":
		w.Header, w.Template, w.Basic, also = auth, "{username}:{value}", true, nil
	case own != "":
		name, template, _ := strings.Cut(own, ": ")
		w.Header, w.Template, w.Basic, also = name, template, false, nil
	case !known:
		w.Header, w.Template = auth, bearer
	}
	if w.Header == "" {
		return nil
	}
	w.Template = strings.ReplaceAll(w.Template, "{username}", attrs["username"])
	return append([]Swap{w}, also...)
}

// apiKeyRules: hosts of one's own replace the service's (a GitLab of one's own), what the service denies stays denied there, unless they lift it and all is false.
func apiKeyRules(attrs map[string]string, all bool) []policy.HostRule {
	s := services()[attrs["service"]]
	own, err := policy.ParseHostRules(attrs["hosts"])
	if err != nil {
		return s.Rules()
	}
	for i := range own {
		if own[i].KeyEndpoints && !all {
			continue
		}
		for _, r := range s.rules {
			own[i].Deny = append(own[i].Deny, r.Deny...)
		}
		slices.Sort(own[i].Deny)
		own[i].Deny = slices.Compact(own[i].Deny)
	}
	return own
}

func apiKeyUses(attrs map[string]string) string {
	if s, ok := services()[attrs["service"]]; ok {
		return "requests to the " + s.Title + " API (docs: " + s.Doc + ")"
	}
	var hosts []string
	for _, r := range apiKeyRules(attrs, false) {
		hosts = append(hosts, policy.HostRule{Host: r.Host, Port: r.Port}.String())
	}
	return "requests to " + strings.Join(slices.Compact(hosts), ", ")
}

// literalHead is the fixed beginning of a key's shape: "sk-ant-" of `^sk-ant-[A-Za-z…`.
var literalHead = lazyregexp.New(`^\^([A-Za-z0-9_-]+)`)

func apiKeyShape(attrs map[string]string, _ string) Shape {
	if looks := services()[attrs["service"]].Looks; looks != (Shape{}) {
		return looks
	}
	if m := literalHead.FindStringSubmatch(services()[attrs["service"]].Key); m != nil {
		return Shape{Prefix: m[1]}
	}
	return Shape{}
}

func lower(v []byte) []byte { return []byte(strings.ToLower(strings.TrimSpace(string(v)))) }

func cleanRules(v []byte) []byte {
	rules, err := policy.ParseHostRules(string(v))
	if err != nil {
		return v
	}
	return []byte(policy.FormatHostRules(rules))
}

func checkRules(v []byte) error {
	_, err := policy.ParseHostRules(string(v))
	return err
}

// cleanHeader writes "name: template" canonically; {key} is taken for {value}, and a bare name for the whole value.
func cleanHeader(v []byte) []byte {
	s := strings.TrimSpace(string(v))
	if strings.EqualFold(s, "basic") {
		return []byte("basic")
	}
	name, template, ok := strings.Cut(s, ":")
	if template = strings.ReplaceAll(strings.TrimSpace(template), "{key}", "{value}"); !ok {
		template = bare
	}
	return []byte(textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)) + ": " + template)
}

func checkHeader(v []byte) error {
	s := string(v)
	if s == "basic" {
		return nil
	}
	name, template, ok := strings.Cut(s, ": ")
	if !ok || !headerName.MatchString(name) || !headerText.MatchString(template) || slices.Contains(framing, textproto.CanonicalMIMEHeaderKey(name)) {
		return errHeader
	}
	return nil
}
