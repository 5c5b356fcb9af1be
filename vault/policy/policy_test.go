package policy_test

import (
	"encoding/pem"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	standIn = []policy.Delivery{policy.Broker, policy.None}
	all     = []policy.Delivery{policy.Broker, policy.None, policy.Env, policy.File}
	day     = time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)
	pinned  = policy.Pin{Name: "p", Argv: []string{"/bin/tool", "{n:int}"}}
)

func TestValidate(t *testing.T) {
	for name, p := range map[string]policy.Policy{
		"zero": {},
		"full": {Agents: []string{"local", "ci-1"}, Deliveries: []policy.Delivery{policy.Env}, Hosts: []policy.HostRule{{Host: "api.acme.internal", Port: 8443}}, Pins: []policy.Pin{pinned},
			Approval: policy.ApprovalAlways, MinLevel: policy.LevelSealed, MaxUses: 3, MaxTTL: 60, Expires: day, Resolve: []string{"api.acme.internal=10.0.0.5"}, Private: true},
		"public address":         {Resolve: []string{"a.example=192.0.2.1"}},
		"loopback where private": {Resolve: []string{"a.example=127.0.0.1", "a.example=::1"}, Private: true},
	} {
		if err := policy.Validate(p, standIn, all); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	junk := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for name, c := range map[string]struct {
		p    policy.Policy
		code fault.Code
	}{
		"agent":               {policy.Policy{Agents: []string{"No Name"}}, fault.InvalidArgument},
		"agent twice":         {policy.Policy{Agents: []string{"a", "a"}}, fault.InvalidArgument},
		"delivery unknown":    {policy.Policy{Deliveries: []policy.Delivery{"pigeon"}}, fault.InvalidArgument},
		"delivery twice":      {policy.Policy{Deliveries: []policy.Delivery{policy.Env, policy.Env}}, fault.InvalidArgument},
		"delivery not here":   {policy.Policy{Deliveries: []policy.Delivery{policy.SSH}}, fault.DeliveryRefused},
		"host":                {policy.Policy{Hosts: []policy.HostRule{{Host: "A.example"}}}, fault.InvalidArgument},
		"wildcard":            {policy.Policy{Hosts: []policy.HostRule{{Host: "*.com"}}}, fault.InvalidArgument},
		"port":                {policy.Policy{Hosts: []policy.HostRule{{Host: "a.example", Port: -1}}}, fault.InvalidArgument},
		"method":              {policy.Policy{Hosts: []policy.HostRule{{Host: "a.example", Methods: []string{"TRACE"}}}}, fault.InvalidArgument},
		"path":                {policy.Policy{Hosts: []policy.HostRule{{Host: "a.example", Paths: []string{"/a/../b"}}}}, fault.InvalidArgument},
		"pin":                 {policy.Policy{Pins: []policy.Pin{{Name: "p", Argv: []string{"tool"}}}}, fault.InvalidArgument},
		"pin twice":           {policy.Policy{Pins: []policy.Pin{pinned, pinned}}, fault.InvalidArgument},
		"approval":            {policy.Policy{Approval: "sometimes"}, fault.InvalidArgument},
		"level":               {policy.Policy{MinLevel: "fort"}, fault.InvalidArgument},
		"ttl":                 {policy.Policy{MaxTTL: -1}, fault.InvalidArgument},
		"expiry":              {policy.Policy{Expires: day.AddDate(9000, 0, 0)}, fault.InvalidArgument},
		"resolve shape":       {policy.Policy{Resolve: []string{"a.example"}}, fault.InvalidArgument},
		"resolve private":     {policy.Policy{Resolve: []string{"a.example=10.0.0.5"}}, fault.InvalidArgument},
		"resolve metadata":    {policy.Policy{Resolve: []string{"a.example=169.254.169.254"}, Private: true}, fault.InvalidArgument},
		"resolve unspecified": {policy.Policy{Resolve: []string{"a.example=0.0.0.0"}, Private: true}, fault.InvalidArgument},
		"resolve mapped":      {policy.Policy{Resolve: []string{"a.example=::ffff:10.0.0.1"}, Private: true}, fault.InvalidArgument},
		"resolve elsewhere":   {policy.Policy{Resolve: []string{"b.example=192.0.2.1"}, Hosts: []policy.HostRule{{Host: "a.example"}}}, fault.InvalidArgument},
		"ca text":             {policy.Policy{UpstreamCA: "hello"}, fault.InvalidArgument},
		"ca junk":             {policy.Policy{UpstreamCA: junk}, fault.InvalidArgument},
		"ca key":              {policy.Policy{UpstreamCA: key}, fault.InvalidArgument},
		"exec":                {policy.Policy{Exec: []string{"a; b"}}, fault.InvalidArgument},
	} {
		if err := policy.Validate(c.p, standIn, all); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v; want %s", name, err, c.code)
		}
	}
	if err := policy.Validate(policy.Policy{Pins: []policy.Pin{pinned}}, []policy.Delivery{policy.SSH}, []policy.Delivery{policy.SSH}); fault.CodeOf(err) != fault.DeliveryRefused {
		t.Errorf("a pin for a kind that never hands its value over: %v", err)
	}
}

func TestAllows(t *testing.T) {
	if p := (policy.Policy{}); !p.AllowsAgent("x") {
		t.Error("an open policy refuses an agent")
	}
	if p := (policy.Policy{Agents: []string{"a"}}); p.AllowsAgent("b") || p.AllowsAgent("") || !p.AllowsAgent("a") {
		t.Error("a list of agents is not kept")
	}
	for _, c := range []struct {
		p    policy.Policy
		want string
	}{
		{policy.Policy{}, "broker none"},
		{policy.Policy{Pins: []policy.Pin{pinned}}, "broker none env file"},
		{policy.Policy{Deliveries: []policy.Delivery{policy.File}}, "file"},
		{policy.Policy{Deliveries: []policy.Delivery{policy.Broker}, Pins: []policy.Pin{pinned}}, "broker"},
	} {
		var got []string
		for _, d := range []policy.Delivery{policy.Broker, policy.SSH, policy.None, policy.Env, policy.File, "x"} {
			if c.p.AllowsDelivery(d, append(standIn, policy.Env)) { // a kind's mistake must not open it
				got = append(got, string(d))
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v allows %s; want %s", c.p, s, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	order := []policy.Level{policy.LevelOpen, policy.LevelProxied, policy.LevelBasic, policy.LevelSealed, policy.LevelVaulted}
	for i, a := range order {
		for j, b := range order {
			if a.Less(b) != (i < j) || a.Meets(b) != (i >= j) {
				t.Errorf("%s and %s are in the wrong order", a, b)
			}
		}
		if l, err := policy.ParseLevel(string(a)); err != nil || l != a || !a.Meets("") {
			t.Errorf("%s: %v", a, err)
		}
	}
	if policy.LevelVaulted.Meets("fort") || policy.Level("fort").Meets(policy.LevelOpen) {
		t.Error("an unknown level is met")
	}
	if _, err := policy.ParseLevel(""); err == nil {
		t.Error("no name is a level")
	}
}

// TestEveryFieldIsCompared: a field that Widens does not know would widen in silence.
func TestEveryFieldIsCompared(t *testing.T) {
	changed := policy.Policy{Agents: []string{"a"}, Deliveries: []policy.Delivery{policy.Env}, Hosts: []policy.HostRule{{Host: "a.example"}}, Pins: []policy.Pin{pinned}, Approval: "always", MinLevel: "basic",
		MaxUses: 1, MaxTTL: 1, Expires: day, Resolve: []string{"a.example=192.0.2.1"}, Private: true, UpstreamCA: "x", Exec: []string{"a"},
		SFTP: true, SSHAgent: true, PassThrough: []string{"a.example"}}
	typ, val := reflect.TypeFor[policy.Policy](), reflect.ValueOf(changed)
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		one := policy.Policy{}
		reflect.ValueOf(&one).Elem().Field(i).Set(val.Field(i))
		there, back := policy.Wider(policy.Policy{}, one), policy.Wider(one, policy.Policy{})
		if !slices.Contains(policy.Compared(), name) || len(there)+len(back) == 0 {
			t.Errorf("%s widens in neither direction", name)
		}
		if others := slices.DeleteFunc(append(there, back...), func(n string) bool { return n == name }); len(others) > 0 {
			t.Errorf("%s is told as %v", name, others)
		}
	}
	if n := len(policy.Compared()); n != typ.NumField() {
		t.Errorf("%d fields are compared, of %d", n, typ.NumField())
	}
}

func TestWidens(t *testing.T) {
	hosts := func(s string) policy.Policy { return policy.Policy{Hosts: rules(t, s)} }
	pin := func(change func(*policy.Pin)) policy.Policy {
		p := pinned
		change(&p)
		return policy.Policy{Pins: []policy.Pin{p}}
	}
	none := policy.Policy{}
	same := pin(func(*policy.Pin) {})
	for name, c := range map[string]struct {
		old, fresh policy.Policy
		wide, back bool
	}{
		"same":             {none, none, false, false},
		"agents":           {policy.Policy{Agents: []string{"a"}}, policy.Policy{Agents: []string{"a", "b"}}, true, false},
		"agents to any":    {policy.Policy{Agents: []string{"a"}}, none, true, true},
		"env":              {none, policy.Policy{Deliveries: []policy.Delivery{policy.Env}}, true, true},
		"fewer deliveries": {none, policy.Policy{Deliveries: []policy.Delivery{policy.Broker}}, false, true},
		"kind's hosts":     {none, hosts("a.example"), true, true},
		"another host":     {hosts("a.example"), hosts("a.example; b.example"), true, false},
		"a port":           {hosts("a.example"), hosts("a.example:8443"), true, true},
		"same port":        {hosts("a.example"), hosts("a.example:443"), false, false},
		"methods":          {hosts("a.example GET"), hosts("a.example GET,POST"), true, false},
		"all methods":      {hosts("a.example GET"), hosts("a.example"), true, false},
		"paths":            {hosts("a.example /v1/*"), hosts("a.example /v1/a /v1/b/*"), false, true},
		"all paths":        {hosts("a.example /v1/*"), hosts("a.example"), true, false},
		"wild host":        {hosts("a.acme.example"), hosts("*.acme.example"), true, false},
		"wild is not self": {hosts("acme.example"), hosts("*.acme.example"), true, true},
		"a denial":         {hosts("a.example !/x"), hosts("a.example"), true, false},
		"denial elsewhere": {hosts("a.example !/x; a.example /y"), hosts("a.example !/x"), false, false},
		"keys":             {hosts("a.example"), hosts("a.example +keys"), true, false},
		"star path":        {hosts("a.example /*/x/*"), hosts("a.example /a/x/y"), true, true},
		"a pin":            {none, same, true, false},
		"a pin's argument": {same, pin(func(p *policy.Pin) { p.Argv = []string{"/bin/tool", "{n:text}"} }), true, true},
		"a pin's hash":     {same, pin(func(p *policy.Pin) { p.SHA256 = strings.Repeat("a", 64) }), false, true},
		"a pin's stdin":    {same, pin(func(p *policy.Pin) { p.Stdin = true }), true, false},
		"a pin's folder":   {same, pin(func(p *policy.Pin) { p.Cwd = "/srv" }), true, true},
		"a pin's env":      {same, pin(func(p *policy.Pin) { p.Env = []string{"X"} }), true, false},
		"a pin's name":     {same, pin(func(p *policy.Pin) { p.Name = "q" }), false, false},
		"approval":         {policy.Policy{Approval: "always"}, none, true, false},
		"level":            {policy.Policy{MinLevel: "sealed"}, policy.Policy{MinLevel: "basic"}, true, false},
		"uses":             {policy.Policy{MaxUses: 3}, policy.Policy{MaxUses: 4}, true, false},
		"any uses":         {policy.Policy{MaxUses: 3}, none, true, false},
		"ttl":              {policy.Policy{MaxTTL: 3}, none, true, false},
		"expiry":           {policy.Policy{Expires: day}, policy.Policy{Expires: day.Add(time.Second)}, true, false},
		"no expiry":        {policy.Policy{Expires: day}, none, true, false},
		"resolve":          {none, policy.Policy{Resolve: []string{"a.example=192.0.2.1"}}, true, false},
		"private":          {none, policy.Policy{Private: true}, true, false},
		"ca":               {none, policy.Policy{UpstreamCA: "x"}, true, false},
		"exec":             {policy.Policy{Exec: []string{"a"}}, none, true, false},
		"sftp":             {none, policy.Policy{SFTP: true}, true, false},
		"ssh agent":        {none, policy.Policy{SSHAgent: true}, true, false},
		"pass through":     {none, policy.Policy{PassThrough: []string{"a.example"}}, true, false},
		"pass one more":    {policy.Policy{PassThrough: []string{"a.example"}}, policy.Policy{PassThrough: []string{"a.example", "b.example"}}, true, false},
		"pass a port":      {policy.Policy{PassThrough: []string{"a.example"}}, policy.Policy{PassThrough: []string{"a.example:8443"}}, true, true},
		"pass wild":        {policy.Policy{PassThrough: []string{"x.a.example"}}, policy.Policy{PassThrough: []string{"*.a.example"}}, true, false},
		"pass another way": {policy.Policy{PassThrough: []string{"*.a.example", "b.example"}}, policy.Policy{PassThrough: []string{"b.example", "*.a.example"}}, false, false},
	} {
		if got := policy.Widens(c.old, c.fresh); got != c.wide {
			t.Errorf("%s: widens = %v", name, got)
		}
		if got := policy.Widens(c.fresh, c.old); got != c.back {
			t.Errorf("%s, back: widens = %v", name, got)
		}
	}
}

// FuzzWidens: a request that only the new rules allow means that they are wider.
func FuzzWidens(f *testing.F) {
	f.Add("a.example /v1/*", "a.example /v1/a/*", "GET", "/v1/a/b")
	f.Add("a.example GET !/x", "a.example !/x /y/*", "POST", "/y/z")
	f.Add("*.a.example /*/x", "b.a.example /q/x", "GET", "/q/x")
	f.Fuzz(func(t *testing.T, oldText, freshText, method, path string) {
		old, err1 := policy.ParseHostRules(oldText)
		fresh, err2 := policy.ParseHostRules(freshText)
		if err1 != nil || err2 != nil || policy.Widens(policy.Policy{Hosts: old}, policy.Policy{Hosts: fresh}) {
			return
		}
		for _, r := range fresh {
			host, port := strings.Replace(r.Host, "*", "w", 1), r.Port
			if port == 0 {
				port = 443
			}
			for _, p := range append([]string{path}, r.Paths...) {
				p = strings.ReplaceAll(p, "*", "w")
				for _, m := range []string{method, "GET", "DELETE"} {
					if policy.MatchRequest(fresh, m, host, port, p).Allowed && !policy.MatchRequest(old, m, host, port, p).Allowed {
						t.Fatalf("%q → %q is said not to widen, but now allows %s %s:%d%s", oldText, freshText, m, host, port, p)
					}
				}
			}
		}
	})
}

func TestEnvNameAllowed(t *testing.T) {
	for _, n := range []string{"OPENAI_API_KEY", "GITHUB_TOKEN", "NODE_AUTH_TOKEN", "DATABASE_URL", "a", "_x", "DOCKER_PASSWORD", "CARGO_REGISTRY_TOKEN", "SSH_KEY", "PATHS", "LDAP_URL"} {
		if !policy.EnvNameAllowed(n) {
			t.Errorf("%s is refused", n)
		}
	}
	for _, n := range strings.Fields(`PATH Path LD_PRELOAD ld_library_path DYLD_INSERT_LIBRARIES BASH_ENV ENV IFS NODE_OPTIONS PYTHONPATH PYTHONSTARTUP PERL5OPT RUBYOPT GIT_SSH_COMMAND
		SSH_AUTH_SOCK SHELL HOME USER ZAVHOZ_HOME HTTP_PROXY https_proxy NO_PROXY TMPDIR LANG LC_ALL PROMPT_COMMAND JAVA_TOOL_OPTIONS GOFLAGS 1A A-B A=B é _ COMSPEC DOCKER_HOST`) {
		if policy.EnvNameAllowed(n) {
			t.Errorf("%s is allowed", n)
		}
	}
	for _, n := range []string{"", "A B", "A\n", "A\x00", strings.Repeat("A", 129)} {
		if policy.EnvNameAllowed(n) {
			t.Errorf("%q is allowed", n)
		}
	}
}
