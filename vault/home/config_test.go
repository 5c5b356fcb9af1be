package home_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

func TestTheCommentedDefaultSaysTheDefaults(t *testing.T) {
	c, err := home.ParseConfig([]byte(home.DefaultConfig))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(normal(c), normal(home.Defaults())) {
		t.Errorf("\n%+v\n%+v", c, home.Defaults())
	}
	empty, err := home.ParseConfig(nil)
	if err != nil || !reflect.DeepEqual(normal(empty), normal(home.Defaults())) {
		t.Errorf("an empty one: %+v %v", empty, err)
	}
}

// normal makes empty lists nil.
func normal(c home.Config) home.Config {
	if len(c.Vault.Files) == 0 {
		c.Vault.Files = nil
	}
	for _, l := range []*[]string{&c.HTTP.TrustedProxy, &c.HTTP.AllowedOrigins, &c.HTTP.AllowedHosts, &c.Sync.Time4VPS.GhostServers} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	return c
}

// The committed configuration is of format 1 for ever: it must go on meaning what it means.
func TestGoldenConfig(t *testing.T) {
	b := keystest.Golden(t, "config.golden.yaml", func() []byte { return []byte(home.DefaultConfig) })
	if !bytes.Equal(b, []byte(home.DefaultConfig)) {
		t.Error("what init writes changed: a change of the format?")
	}
	if c, err := home.ParseConfig(b); err != nil || c.Format != 1 || c.Limits.Runs != 16 || c.Idle != 900 || c.Sync.Time4VPS.MissingGrace != 3 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestAFullConfiguration(t *testing.T) {
	c, err := home.ParseConfig([]byte(`
format: 1
http: {listen: "[::1]:7433", tls_cert: /c.pem, tls_key: /k.pem, trusted_proxy: [10.0.0.1, "fd00::/8"], public_url: "https://z.example", allowed_origins: ["https://a.example:8443"], allowed_hosts: [z.example, "z.example:443"]}
sync: {time4vps: {resource: time4vps_main, base_url: "http://127.0.0.1:99/api", schedule: "*/5 * * * *", ghost_servers: ["123", 10.1.2.3], auto_manage: true, missing_grace: 5}}
log: {level: debug}
idle_exit_s: 0
system: true
agent_socket: {path: /run/zavhoz/agent.sock, group: zavhoz-agents}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p := c.TrustedProxies(); len(p) != 2 || p[0].String() != "10.0.0.1/32" || c.LogLevel().String() != "DEBUG" || c.IdleExit() != 0 || !c.Sync.Time4VPS.AutoManage ||
		!c.System || c.Agents != (home.AgentSocket{Path: "/run/zavhoz/agent.sock", Group: "zavhoz-agents"}) {
		t.Errorf("%+v", c)
	}
}

func TestConfigErrorsNameLineAndKeyAndNoValue(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"a wrong type":       {"format: 1\nlimits:\n  runs: canary\n", []string{"line 3", "limits.runs"}},
		"an unknown key":     {"format: 1\nhttp:\n  lisen: canary\n", []string{"line 3", "http.lisen"}},
		"an odd key":         {"format: 1\nCanary-Key: 1\n", []string{"line 2"}},
		"a key twice":        {"format: 1\nlog: {level: info}\nlog: {level: canary}\n", []string{"line 3"}},
		"not yaml":           {"format: 1\n\tcanary: [\n", []string{"configuration"}},
		"a list":             {"- canary\n", []string{"line 1"}},
		"a scalar":           {"canary", []string{"line 1"}},
		"an alias":           {"format: 1\nhttp: &canary {}\nlog: *canary\n", []string{"line 2"}},
		"an unknown alias":   {"format: 1\nlog: *canary\n", []string{"configuration"}},
		"two documents":      {"format: 1\n---\ncanary: 1\n", []string{"more than one"}},
		"a bad level":        {"log:\n  level: canary\n", []string{"line 2", "log.level"}},
		"a bad address":      {"http: {listen: canary}\n", []string{"line 1", "http.listen"}},
		"a port too high":    {"http: {listen: 'canary:99999'}\n", []string{"http.listen"}},
		"http off loopback":  {"sync:\n  time4vps:\n    base_url: http://canary.example/api\n", []string{"line 3", "base_url"}},
		"a login in the URL": {"sync:\n  time4vps:\n    base_url: https://canary:pw@host/api\n", []string{"line 3", "base_url"}},
		"a public http URL":  {"http: {public_url: 'http://canary.example'}\n", []string{"public_url"}},
		"a bad proxy":        {"http: {trusted_proxy: [canary]}\n", []string{"trusted_proxy"}},
		"a bad origin":       {"http: {allowed_origins: ['*canary']}\n", []string{"allowed_origins"}},
		"half of TLS":        {"http: {tls_cert: canary}\n", []string{"tls_key"}},
		"too many runs":      {"limits: {runs: 100000}\n", []string{"limits.runs"}},
		"no version":         {"versions:\n  keep: 0\n", []string{"line 2", "versions.keep"}},
		"too many versions":  {"versions: {keep: 1001}\n", []string{"versions.keep"}},
		"a relative socket":  {"agent_socket:\n  path: canary/agent.sock\n  group: g\n", []string{"line 2", "agent_socket.path"}},
		"a socket's detour":  {"agent_socket: {path: /run/../canary, group: g}\n", []string{"agent_socket.path"}},
		"a long socket":      {"agent_socket: {path: /" + strings.Repeat("canary", 17) + ", group: g}\n", []string{"agent_socket.path"}},
		"a socket for all":   {"agent_socket: {path: /run/canary}\n", []string{"agent_socket.path", "group"}},
		"a group for none":   {"agent_socket: {group: canary}\n", []string{"agent_socket.path"}},
		"an odd group":       {"agent_socket: {path: /run/s, group: 'canary:x'}\n", []string{"agent_socket.group"}},
		"a system by word":   {"format: 1\nsystem: canary\n", []string{"line 2", "system"}},
		"a negative time":    {"idle_exit_s: -1\n", []string{"idle_exit_s"}},
		"binary":             {"\x00canary\xff", []string{"configuration"}},
	} {
		_, err := home.ParseConfig([]byte(c.text))
		if fault.CodeOf(err) != fault.InvalidArgument || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", name, err, s)
			}
		}
	}
	if _, err := home.ParseConfig([]byte("format: 2\n")); fault.CodeOf(err) != fault.VaultFormat {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(home.DefaultConfig))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Add([]byte("<<: {format: 1}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := home.ParseConfig(b)
		if err == nil && (c.Format != 1 || c.Limits.Runs < 1) {
			t.Errorf("taken: %+v", c)
		}
	})
}
