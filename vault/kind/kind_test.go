package kind_test

import (
	"crypto/rand"
	"hash/crc32"
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// sealed makes secrets of name, value pairs.
func sealed(pairs ...string) map[string]secret.Secret {
	m := map[string]secret.Secret{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = secret.FromString(pairs[i+1])
	}
	return m
}

func attrs(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func get(t testing.TB, name string) kind.Kind {
	t.Helper()
	k, err := kind.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	token   = "123456789:AAcanary_0123456789-abcdefghijklmno"
	hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEsOFEJt7cvxBBHyDbCrVWTFhaTLFSlQ4KvkJF9dqjRg"
)

// samples is one valid resource of each kind.
func samples(t testing.TB) map[string]kind.Normalised {
	t.Helper()
	out := map[string]kind.Normalised{}
	for name, c := range map[string]struct {
		attrs   map[string]string
		secrets map[string]secret.Secret
	}{
		"telegram_bot": {attrs("username", "weather_bot"), sealed("token", token)},
		"server":       {attrs("user", "deploy", "host_key", hostKey), sealed("host", "VPS1.example.org", "ssh_key", ed25519Key(t))},
		"api_key":      {attrs("service", "openai"), sealed("key", "sk-canary0123456789abcdef")},
		"domain":       {attrs("zone", "Example.org"), sealed("token", "canary0123456789abcdef0123456789abcdef01")},
		"github_app":   {attrs("app_id", "12345"), sealed("private_key", rsaPEM(t))},
		"database":     {nil, sealed("url", "postgres://app:canary%2Fpw9@db1.internal:5432/shop?sslmode=require")},
		"generic":      {nil, sealed("value", "canary-value-1", "client_id", "canary-value-2")},
	} {
		n, err := get(t, name).Validate(c.attrs, c.secrets)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = n
	}
	out[kind.Environment] = kind.Normalised{Attrs: attrs(kind.EnvironmentDefinition, "digest", "variables", "API_KEY")}
	return out
}

// TestEveryKindIsWhole holds each registered kind to what the rest of the program relies on.
func TestEveryKindIsWhole(t *testing.T) {
	all := samples(t)
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	for _, k := range kind.All() {
		n, ok := all[k.Name]
		if !ok || !name.MatchString(k.Name) || k.Summary == "" || k.Uses == nil || len(k.Deliveries) == 0 {
			t.Errorf("%s: no sample, or something is missing", k.Name)
			continue
		}
		seen := map[string]bool{}
		for _, f := range k.Fields {
			for _, x := range append([]string{f.Name}, f.Aliases...) {
				if seen[x] || !name.MatchString(x) {
					t.Errorf("%s: field or alias %s is there twice, or is no name", k.Name, x)
				}
				seen[x] = true
				if got, found := k.Lookup(x); !found || got.Name != f.Name {
					t.Errorf("%s: %s is not found", k.Name, x)
				}
			}
			if f.Help == "" || (f.Class != kind.Public && f.Class != kind.Secret && f.Class != kind.Hidden) || (f.Class.Sealed() && (f.Default != "" || f.Steers)) {
				t.Errorf("%s.%s: help, class, default or steers is wrong", k.Name, f.Name)
			}
		}
		for _, d := range k.StandIn {
			if !d.StandIn() || !slices.Contains(k.Deliveries, d) {
				t.Errorf("%s: %s is no stand-in of it", k.Name, d)
			}
		}
		if _, why := k.StandIns(n.Attrs); len(k.StandIn) == 0 && why == "" {
			t.Errorf("%s does not say why it has no stand-in", k.Name)
		}
		if k.Name == kind.Environment { // its project makes it, and nobody else
			if _, err := k.Validate(nil, nil); fault.CodeOf(err) != fault.InvalidArgument {
				t.Errorf("an environment is made by hand: %v", err)
			}
			continue
		}
		checkUse(t, k, n)
	}
	if len(all) != len(kind.All()) {
		t.Error("a sample is of no kind")
	}
	if _, err := kind.Get("nope"); fault.CodeOf(err) != fault.UnknownKind || !strings.Contains(err.Error(), "telegram_bot") {
		t.Errorf("unknown kind: %v", err)
	}
}

// checkUse: variables, places and hosts name what is there, and the line for a model holds no secret.
func checkUse(t *testing.T, k kind.Kind, n kind.Normalised) {
	t.Helper()
	for _, v := range k.EnvVars(n.Attrs) {
		if !kind.EnvNameAllowed(v.Name) || (v.Field == "") == (v.Value == "") {
			t.Errorf("%s: variable %+v", k.Name, v)
		}
		if _, ok := n.Secrets[v.Field]; v.Field != "" && !ok {
			t.Errorf("%s: variable %s takes a field that is not there", k.Name, v.Name)
		}
	}
	if k.Swaps != nil {
		for _, s := range k.Swaps(n.Attrs) {
			if _, ok := n.Secrets[s.Field]; !ok || (s.Header == "") == (s.Path == "") || !strings.Contains(s.Template+s.Path, "{value}") || textproto.CanonicalMIMEHeaderKey(s.Header) != s.Header {
				t.Errorf("%s: place %+v", k.Name, s)
			}
		}
	}
	rules := k.Rules(n.Attrs, policy.Policy{})
	if standIn, _ := k.StandIns(n.Attrs); slices.Contains(standIn, policy.Broker) && len(rules) == 0 && k.FrontOf(n.Attrs) == "" {
		t.Errorf("%s has nowhere to go", k.Name)
	}
	if err := policy.Validate(policy.Policy{Hosts: rules}, k.StandIn, k.Deliveries); err != nil {
		t.Errorf("%s: its hosts are no valid policy: %v", k.Name, err)
	}
	for field, s := range n.Secrets {
		if strings.Contains(k.Uses(n.Attrs), string(s.Reveal())) {
			t.Errorf("%s: what it is for holds %s", k.Name, field)
		}
		shape := k.ShapeOf(n.Attrs, field)
		a, err := shape.Make(rand.Reader, s.Len())
		b, _ := shape.Make(rand.Reader, s.Len())
		if err != nil || a == b || !strings.HasPrefix(a, shape.Prefix) || len(a) < 20 {
			t.Errorf("%s.%s: placeholders %q and %q", k.Name, field, a, b)
		}
	}
	again, err := k.Validate(n.Attrs, n.Secrets)
	if err != nil || !maps.Equal(again.Attrs, n.Attrs) {
		t.Errorf("%s: what was validated is not valid, or changes again: %v %v", k.Name, again.Attrs, err)
	}
	for field, s := range n.Secrets {
		if !again.Secrets[field].Equal(s) {
			t.Errorf("%s.%s changes when it is validated again", k.Name, field)
		}
	}
}

func TestNormalised(t *testing.T) {
	all := samples(t)
	if a := all["telegram_bot"].Attrs["username"]; a != "@weather_bot" {
		t.Errorf("username %s", a)
	}
	s := all["server"]
	if s.Attrs["port"] != "22" || s.Attrs["user"] != "deploy" || string(s.Secrets["host"].Reveal()) != "vps1.example.org" || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "SHA256:") {
		t.Errorf("server %v %v", s.Attrs, s.Notes)
	}
	d := all["database"]
	if d.Attrs["engine"] != "postgres" || d.Attrs["database"] != "shop" || d.Attrs["env"] != "DATABASE_URL" || d.Attrs["user"] != "app" || string(d.Secrets["password"].Reveal()) != "canary/pw9" || string(d.Secrets["host"].Reveal()) != "db1.internal:5432" {
		t.Errorf("database %v", d.Attrs)
	}
	var vars []string
	for _, v := range get(t, "generic").EnvVars(all["generic"].Attrs) {
		vars = append(vars, v.Name+"="+v.Field)
	}
	if strings.Join(vars, " ") != "CLIENT_ID=client_id SECRET_VALUE=value" {
		t.Errorf("generic fills %v", vars)
	}
}

func TestSecretsStayTheCallers(t *testing.T) {
	in := sealed("token", token+"\r\n")
	n, err := get(t, "telegram_bot").Validate(nil, in)
	if err != nil || string(n.Secrets["token"].Reveal()) != token {
		t.Fatal(err)
	}
	n.Secrets["token"].Wipe()
	if string(in["token"].Reveal()) != token+"\r\n" {
		t.Error("validating changed what was given, or shares its bytes")
	}
}

func TestShapesAreNotPredictable(t *testing.T) {
	s := kind.Shape{Prefix: "sk-", Alphabet: "ab"}
	a, err := s.Make(rand.Reader, 64)
	if err != nil || len(a) != 64 || strings.Trim(a[3:], "ab") != "" || strings.Count(a, "a") == 0 || strings.Count(a, "b") == 0 {
		t.Errorf("%q, %v", a, err)
	}
	if _, err := s.Make(strings.NewReader("short"), 64); err == nil {
		t.Error("no randomness makes a placeholder")
	}
}

// A placeholder for GitHub passes the check that GitHub's own tokens pass: the last six letters are the CRC-32 of those before, in base 62.
func TestPlaceholdersKeepTheirChecksum(t *testing.T) {
	k := get(t, "api_key")
	for service, head := range map[string]string{"github": "ghp_", "npm": "npm_"} {
		text, err := k.ShapeOf(attrs("service", service), "key").Make(rand.Reader, 40)
		if err != nil || len(text) != 40 || !strings.HasPrefix(text, head) {
			t.Fatalf("%q %v", text, err)
		}
		sum := uint32(0)
		for _, c := range text[34:] {
			sum = sum*62 + uint32(strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c))
		}
		if want := crc32.ChecksumIEEE([]byte(text[4:34])); sum != want {
			t.Errorf("%s: %q has the sum %d, not %d", service, text, sum, want)
		}
	}
	if s := (kind.Shape{Prefix: "ghp_", Sum: true}); len(made(t, s)) != 32 {
		t.Error("a short value has another placeholder than of 32 letters")
	}
}

func made(t *testing.T, s kind.Shape) string {
	t.Helper()
	text, err := s.Make(rand.Reader, 1)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
