package home

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// maxConfig is the largest configuration, in bytes.
const maxConfig = 64 << 10

// Config is config.yaml. It holds no secret: credentials are resources of the vault, named here by handle.
type Config struct {
	Format int    `yaml:"format"` // 1
	HTTP   HTTP   `yaml:"http"`
	Sync   Sync   `yaml:"sync"`
	Limits Limits `yaml:"limits"`

	Vault    Secrets  `yaml:"vault"`
	Versions Versions `yaml:"versions"`
	Unlock   Unlock   `yaml:"unlock"`
	Projects Projects `yaml:"projects"`

	Log  Log `yaml:"log"`
	Idle int `yaml:"idle_exit_s"` // seconds; 0: never

	// System says that the daemon has a user of its own, whom no agent has: it takes agents by token only, and is never started by a client.
	System bool        `yaml:"system"`
	Agents AgentSocket `yaml:"agent_socket"`
}

// AgentSocket is a door for agents of other users than the daemon's, beside the home, which they cannot enter. Each must show a token.
type AgentSocket struct {
	Path  string `yaml:"path"`  // absolute; "": no such door
	Group string `yaml:"group"` // who may connect: a name or a number
}

// HTTP is the door over TCP. Off loopback it needs TLS, or a trusted proxy and a public URL.
type HTTP struct {
	Listen         string   `yaml:"listen"`          // host:port; "": no such door
	TLSCert        string   `yaml:"tls_cert"`        // file, PEM
	TLSKey         string   `yaml:"tls_key"`         // file, PEM
	TrustedProxy   []string `yaml:"trusted_proxy"`   // addresses or prefixes
	PublicURL      string   `yaml:"public_url"`      // https://…
	AllowedOrigins []string `yaml:"allowed_origins"` // scheme://host[:port]
	AllowedHosts   []string `yaml:"allowed_hosts"`   // host or host:port
}

// Sync is the providers.
type Sync struct {
	Time4VPS Time4VPS `yaml:"time4vps"`
}

// Time4VPS is one account at the provider.
type Time4VPS struct {
	Resource     string   `yaml:"resource"`      // handle of the resource with the login; "": no sync
	BaseURL      string   `yaml:"base_url"`      // https://…
	Schedule     string   `yaml:"schedule"`      // cron, or "@every 1m"
	GhostServers []string `yaml:"ghost_servers"` // ids or addresses that are never managed
	AutoManage   bool     `yaml:"auto_manage"`   // new servers are managed unless they are ghosts
	MissingGrace int      `yaml:"missing_grace"` // cycles that a server may be absent before it is missing
}

// Limits bound what clients may ask for.
type Limits struct {
	Runs       int   `yaml:"runs"`          // at once, over all agents
	RunTimeout int   `yaml:"run_timeout_s"` // the longest run that is waited for, seconds; background runs have 24 h
	Output     int64 `yaml:"output_bytes"`  // kept of one run's output
	Request    int64 `yaml:"request_bytes"` // of one request
}

// Versions is what stays of a resource's past.
type Versions struct {
	Keep int `yaml:"keep"` // earlier versions of each resource
}

// Projects is what becomes of the secrets that projects are given.
type Projects struct {
	TelegramAPI string `yaml:"telegram_api"` // https://…, where a bot's token is asked for whether it is good; "": its format alone is checked
}

// Unlock is how a daemon finds the vault's keys, and when it gives them up.
type Unlock struct {
	Sources   []string `yaml:"sources"`      // of unlock.Sources, in the order in which they are tried
	LockAfter int      `yaml:"lock_after_s"` // seconds without use; 0: never
}

// The sources of identities.
const (
	FromFile       = "file"       // identity.txt in the home folder
	FromKeyring    = "keyring"    // the system's keyring
	FromCredential = "credential" // systemd's: LoadCredential=, LoadCredentialEncrypted=
	FromPassphrase = "passphrase" // a person is asked; a daemon starts locked where nobody is there
)

// Sources are all of them.
var Sources = []string{FromFile, FromKeyring, FromCredential, FromPassphrase}

// Log is the daemon's log.
type Log struct {
	Level string `yaml:"level"` // debug, info, warn, error
}

// Defaults is what DefaultConfig says.
func Defaults() Config {
	return Config{
		Format: 1,
		Sync:   Sync{Time4VPS{BaseURL: "https://billing.time4vps.com/api", Schedule: "@every 1m", MissingGrace: 3}},
		Limits: Limits{Runs: 16, RunTimeout: 3600, Output: 1 << 20, Request: 4 << 20},
		Log:    Log{Level: "info"},
		Idle:   900,

		Vault:    Secrets{Source: SourceVault},
		Versions: Versions{Keep: 10},
		Unlock:   Unlock{Sources: []string{FromFile}},
		Projects: Projects{TelegramAPI: "https://api.telegram.org"},
	}
}

// LoadConfig reads the configuration; a missing file means Defaults. Errors: fault invalid_argument, naming line and key, never a value.
func LoadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Defaults(), nil
	}
	if err != nil {
		return Config{}, fault.New(fault.InvalidArgument, "the configuration cannot be read", "check "+Quote(path)).Because(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil || len(b) > maxConfig {
		return Config{}, fault.New(fault.InvalidArgument, "the configuration cannot be read, or is too large", "check "+Quote(path)).Because(err)
	}
	return ParseConfig(b)
}

// ParseConfig reads a configuration strictly: unknown and repeated keys, anchors and a second document are refused. What it does not name keeps its default.
func ParseConfig(b []byte) (Config, error) {
	c := Defaults()
	var tree yaml.Node
	if err := yaml.Unmarshal(b, &tree); err != nil {
		return Config{}, badLine(err, nil)
	}
	if len(bytes.TrimSpace(b)) == 0 || tree.Kind == 0 {
		return c, nil
	}
	if line := anchored(&tree); line > 0 {
		return Config{}, bad(line, "anchors and aliases are not taken")
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return Config{}, badLine(err, &tree)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, fault.New(fault.InvalidArgument, "the configuration has more than one document", "keep one")
	}
	if c.Format != 1 {
		return Config{}, fault.Newf(fault.VaultFormat, "the configuration has format %d, this zavhoz knows 1", c.Format).WithNext("upgrade zavhoz")
	}
	for _, rule := range rules {
		if !rule.ok(c) {
			line, _ := lineOf(&tree, rule.key)
			return Config{}, bad(line, rule.key+": "+rule.says)
		}
	}
	return c, nil
}

// rule is what a value must satisfy beyond its type.
type rule struct {
	key  string
	says string
	ok   func(Config) bool
}

var rules = []rule{
	{"http.listen", "an address is host:port", func(c Config) bool { return c.HTTP.Listen == "" || hostPort(c.HTTP.Listen) }},
	{"http.tls_key", "tls_cert and tls_key go together", func(c Config) bool { return (c.HTTP.TLSCert == "") == (c.HTTP.TLSKey == "") }},
	{"http.trusted_proxy", "a proxy is an address or a prefix", func(c Config) bool { _, ok := prefixes(c.HTTP.TrustedProxy); return ok }},
	{"http.public_url", "a public URL is https://host", func(c Config) bool { return c.HTTP.PublicURL == "" || webURL(c.HTTP.PublicURL, "https") }},
	{"http.allowed_origins", "an origin is scheme://host[:port]", func(c Config) bool { return all(c.HTTP.AllowedOrigins, origin) }},
	{"http.allowed_hosts", "a host is a name, with or without a port", func(c Config) bool { return all(c.HTTP.AllowedHosts, hostShape.MatchString) }},
	{"sync.time4vps.base_url", "a base URL is https://host/path, or http:// on loopback", func(c Config) bool { return apiURL(c.Sync.Time4VPS.BaseURL) }},
	{"sync.time4vps.schedule", "a schedule is not empty", func(c Config) bool { return c.Sync.Time4VPS.Schedule != "" }},
	{"sync.time4vps.missing_grace", "a grace is between 1 and 1000 cycles", func(c Config) bool { return within(c.Sync.Time4VPS.MissingGrace, 1, 1000) }},
	{"limits.runs", "between 1 and 1000", func(c Config) bool { return within(c.Limits.Runs, 1, 1000) }},
	{"limits.run_timeout_s", "between 1 and 3600", func(c Config) bool { return within(c.Limits.RunTimeout, 1, 3600) }},
	{"limits.output_bytes", "between 1024 and 67108864", func(c Config) bool { return within(c.Limits.Output, 1<<10, 64<<20) }},
	{"limits.request_bytes", "between 1024 and 67108864", func(c Config) bool { return within(c.Limits.Request, 1<<10, 64<<20) }},
	{"vault.source", "vault, or sops with at least one of vault.files", func(c Config) bool { return c.Vault.source() }},
	{"vault.files", "each has a path that ends in .yaml, .yml, .json, .env or .ini, a name that no other has, and a project's slug or none", func(c Config) bool { return c.Vault.files() }},
	{"vault.add_to", "the name of one of vault.files that is YAML or JSON", func(c Config) bool { return c.Vault.addTo() }},
	{"versions.keep", "between 1 and 1000", func(c Config) bool { return within(c.Versions.Keep, 1, 1000) }},
	{"unlock.sources", "between one and four of file, keyring, credential and passphrase, each once", func(c Config) bool { return eachOnce(c.Unlock.Sources, Sources) }},
	{"unlock.lock_after_s", "between 0 (never) and 604800", func(c Config) bool { return within(c.Unlock.LockAfter, 0, 7*24*3600) }},
	{"projects.telegram_api", "a base URL is https://host/path, or http:// on loopback; or it is empty", func(c Config) bool { return c.Projects.TelegramAPI == "" || apiURL(c.Projects.TelegramAPI) }},
	{"log.level", "a level is debug, info, warn or error", func(c Config) bool { _, ok := levels[c.Log.Level]; return ok }},
	{"agent_socket.path", "a socket is an absolute path without dots, of at most 100 bytes", func(c Config) bool { return c.Agents.Path == "" || socketPath(c.Agents.Path) }},
	{"agent_socket.path", "path and group go together", func(c Config) bool { return (c.Agents.Path == "") == (c.Agents.Group == "") }},
	{"agent_socket.group", "a group is a name or a number", func(c Config) bool { return c.Agents.Group == "" || groupShape.MatchString(c.Agents.Group) }},
	{"idle_exit_s", "between 0 (never) and 604800", func(c Config) bool { return within(c.Idle, 0, 7*24*3600) }},
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// LogLevel is log.level.
func (c Config) LogLevel() slog.Level { return levels[c.Log.Level] }

// IdleExit is how long a daemon that a door started stays without work; 0: for ever.
func (c Config) IdleExit() time.Duration { return time.Duration(c.Idle) * time.Second }

// LockAfter is how long an unlocked vault stays so without use; 0: for ever.
func (c Config) LockAfter() time.Duration { return time.Duration(c.Unlock.LockAfter) * time.Second }

// TrustedProxies is http.trusted_proxy as prefixes.
func (c Config) TrustedProxies() []netip.Prefix {
	p, _ := prefixes(c.HTTP.TrustedProxy)
	return p
}

func prefixes(list []string) ([]netip.Prefix, bool) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, false
		}
		out = append(out, p.Masked())
	}
	return out, true
}

var (
	hostShape = lazyregexp.New(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?$|^\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?$`)
	bindShape = lazyregexp.New(`^([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9a-fA-F:.]+\])?:([0-9]{1,5})$`)
	lineShape = lazyregexp.New(`line ([0-9]+)`)
	// as useradd takes them, and numbers
	groupShape = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$`)
	keyShape   = lazyregexp.New(`^[a-z][a-z0-9_]{0,31}$`)
)

func socketPath(s string) bool {
	return filepath.IsAbs(s) && filepath.Clean(s) == s && len(s) <= maxSocket && !strings.ContainsFunc(s, unicode.IsControl)
}

func hostPort(s string) bool {
	m := bindShape.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	n, err := strconv.Atoi(m[2])
	return err == nil && n < 1<<16
}

func webURL(s, scheme string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == scheme && hostShape.MatchString(u.Host) && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func origin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Path == "" && (webURL(s, "https") || webURL(s, "http"))
}

// apiURL: a credential goes there, so nothing but https, except to this machine (a simulator).
func apiURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return webURL(s, "https") || webURL(s, "http") && (u.Hostname() == "localhost" || err == nil && a.IsLoopback())
}

func all(list []string, ok func(string) bool) bool {
	for _, s := range list {
		if !ok(s) {
			return false
		}
	}
	return true
}

func eachOnce(list, of []string) bool {
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s] || !slices.Contains(of, s) {
			return false
		}
		seen[s] = true
	}
	return len(list) > 0
}

func within[N int | int64](n, low, high N) bool { return low <= n && n <= high }

func bad(line int, says string) error {
	where := "the configuration"
	if line > 0 {
		where = fmt.Sprintf("line %d of the configuration", line)
	}
	return fault.New(fault.InvalidArgument, where+": "+says, "edit config.yaml in the home folder")
}

// badLine keeps of a parser's error the line alone: its text holds what the line held.
func badLine(err error, tree *yaml.Node) error {
	line := 0
	if m := lineShape.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	if key := keyAt(tree, line); key != "" {
		return bad(line, key+" is not known here, given twice, or not of its type")
	}
	return bad(line, "it is not what a configuration holds")
}
