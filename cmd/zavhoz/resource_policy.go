package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// policyFlags are what `resource policy` changes. Empty ones change nothing.
type policyFlags struct {
	agents, noAgents, deliveries, hosts, resolve, exec, pinEnv []string
	passThrough                                                []string
	pin, unpin, cwd, hash, approval, minLevel, expires, ca     string
	maxUses                                                    uint64
	maxTTL                                                     time.Duration
	private, pinStdin, pinOpen, sftp, sshAgent                 bool
	reset                                                      bool
}

func newResourcePolicy(a *app) *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use: "policy HANDLE [flags] [-- PINNED COMMAND…]", Short: "Show or change what may be done with a resource", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Long: `Show a resource's policy, or change it. Widening asks for the operator's passphrase where one is set.

A pinned command is the only kind that may hold the true value. Its first element is an absolute path; the others are literal or hold one typed
hole: {n:int} {n:uint} {s:slug} {w:word} {d:date} {v:semver} {h:sha} {b:bool} {e:enum(a|b)} {p:relpath} {t:text}. By default the binary's SHA-256 is pinned too.`,
		Example: `  zavhoz resource policy weather_bot
  zavhoz resource policy weather_bot --agent local --pin getme -- /usr/local/bin/bot-check --verbose {n:int}
  zavhoz resource policy weather_bot --unpin getme
  zavhoz resource policy prod_vps_1 --exec "systemctl status {unit:slug}" --exec uptime
  zavhoz resource policy prod_vps_1 --exec uptime --sftp --min-level sealed
  zavhoz resource policy openai_main --pass-through pypi.org --pass-through "*.pythonhosted.org"
  zavhoz resource policy acme --host "api.acme.example:8443 GET,POST /v1/*" --max-uses 100 --expires 720h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, r, err := a.resource(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !changesPolicy(cmd) && len(args) == 1 {
				return a.showResource(r)
			}
			p := r.Policy
			if err := f.apply(cmd, &p, args[1:]); err != nil {
				return err
			}
			var after api.Resource
			if err := cl.call(cmd.Context(), "PUT", path("resources", args[0], "policy"), api.SetPolicy{Policy: &p, IfVersion: r.Version}, &after); err != nil {
				return err
			}
			a.warnStrangers(cmd.Context(), after)
			a.remarks(after)
			return a.showResource(after)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.agents, "agent", nil, "let this agent use it (naming any restricts it to those named)")
	fl.StringArrayVar(&f.noAgents, "no-agent", nil, "no longer name this agent")
	fl.StringSliceVar(&f.deliveries, "delivery", nil, "deliveries allowed: broker, ssh, env, file, none (replaces those it had)")
	fl.StringArrayVar(&f.hosts, "host", nil, `hosts it may reach: "host[:port] [METHOD,…] [/path/*]" (repeatable; replaces those it had)`)
	fl.StringVar(&f.pin, "pin", "", "name of the pinned command that follows --")
	fl.StringVar(&f.unpin, "unpin", "", "remove the pinned command of this name")
	fl.StringVar(&f.hash, "pin-hash", "auto", "SHA-256 of the pinned binary: auto (and of the files that its arguments name), none, or the hash itself")
	fl.StringVar(&f.cwd, "pin-cwd", "", "folder that the pinned command runs in (default: a private temporary one)")
	fl.StringSliceVar(&f.pinEnv, "pin-env", nil, "plain variables that a caller may set for the pinned command")
	fl.BoolVar(&f.pinStdin, "pin-stdin", false, "the caller may give the pinned command standard input")
	fl.BoolVar(&f.pinOpen, "pin-open", false, "start the pinned command without walls: for docker, or a network of its own; it can take the value anywhere")
	fl.StringArrayVar(&f.exec, "exec", nil, "servers: patterns of remote commands allowed; none: any again (repeatable; replaces those it had)")
	fl.BoolVar(&f.sftp, "sftp", false, "servers: sftp, scp and rsync too where --exec names patterns; they write any file that the user may")
	fl.BoolVar(&f.sshAgent, "ssh-agent", false, "servers: a run's own ssh may use a restricted agent, to jump through this server (ProxyJump)")
	fl.StringArrayVar(&f.passThrough, "pass-through", nil, `hosts that its runs reach through a plain tunnel, without a credential, recorded: "registry.npmjs.org", host:port; none: no such host (repeatable; replaces those it had)`)
	fl.StringVar(&f.approval, "approval", "", "none; first: a person looks at it before agents use it; always: a person approves each run")
	fl.StringVar(&f.minLevel, "min-level", "", "weakest isolation it is used at: open, proxied, basic, sealed, vaulted")
	fl.Uint64Var(&f.maxUses, "max-uses", 0, "uses over all leases; 0 for no limit")
	fl.DurationVar(&f.maxTTL, "max-ttl", 0, "longest life of one lease")
	fl.StringVar(&f.expires, "expires", "", "when it may no longer be used: a duration from now (720h), a time (RFC 3339) or never")
	fl.StringSliceVar(&f.resolve, "resolve", nil, "host=ip for internal services; none: none again (replaces those it had)")
	fl.BoolVar(&f.private, "allow-private", false, "it may reach private addresses")
	fl.StringVar(&f.ca, "upstream-ca", "", "@FILE of PEM certificates to trust for its hosts, or none")
	fl.BoolVar(&f.reset, "reset", false, "start from the default policy")
	completeFlag(c, "agent", a.agentNames)
	completeFlag(c, "no-agent", a.agentNames)
	_ = c.RegisterFlagCompletionFunc("delivery", cobra.FixedCompletions([]string{"broker", "ssh", "env", "file", "none"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("approval", cobra.FixedCompletions([]string{"none", "first", "always"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("min-level", cobra.FixedCompletions([]string{"open", "proxied", "basic", "sealed", "vaulted"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func changesPolicy(cmd *cobra.Command) bool {
	changed := false
	for _, name := range []string{"agent", "no-agent", "delivery", "host", "pin", "unpin", "exec", "approval", "min-level", "max-uses", "max-ttl", "expires", "resolve", "allow-private", "upstream-ca", "reset",
		"sftp", "ssh-agent", "pass-through"} {
		changed = changed || cmd.Flags().Changed(name)
	}
	return changed
}

// apply changes p as the flags say.
func (f *policyFlags) apply(cmd *cobra.Command, p *policy.Policy, pinned []string) error {
	var err error
	set := cmd.Flags().Changed
	if f.reset {
		*p = policy.Policy{}
	}
	p.Agents = without(with(p.Agents, f.agents), f.noAgents)
	if set("delivery") {
		p.Deliveries = nil
		for _, d := range f.deliveries {
			p.Deliveries = append(p.Deliveries, policy.Delivery(d))
		}
	}
	if set("host") {
		p.Hosts = nil
		for _, h := range f.hosts {
			rule, err := policy.ParseHostRule(h)
			if err != nil {
				return err
			}
			p.Hosts = append(p.Hosts, rule)
		}
	}
	if set("exec") {
		if p.Exec, err = emptied("exec", f.exec); err != nil {
			return err
		}
	}
	if set("sftp") {
		p.SFTP = f.sftp
	}
	if set("ssh-agent") {
		p.SSHAgent = f.sshAgent
	}
	if err := f.applyPassThrough(cmd, p); err != nil {
		return err
	}
	if set("resolve") {
		if p.Resolve, err = emptied("resolve", f.resolve); err != nil {
			return err
		}
	}
	if set("allow-private") {
		p.Private = f.private
	}
	if set("min-level") {
		p.MinLevel = policy.Level(f.minLevel)
	}
	if set("max-uses") {
		p.MaxUses = f.maxUses
	}
	if set("max-ttl") {
		if f.maxTTL != 0 && f.maxTTL < time.Second {
			return fault.New(fault.InvalidArgument, "--max-ttl is at least one second; 0 takes the limit away", "")
		}
		p.MaxTTL = int(f.maxTTL.Seconds())
	}
	if set("approval") {
		p.Approval = f.approval
		if f.approval == "none" {
			p.Approval = ""
		}
	}
	if err := f.applyExpiry(p); err != nil {
		return err
	}
	if err := f.applyCA(p); err != nil {
		return err
	}
	return f.applyPins(p, pinned)
}

// emptied is what a flag that replaces a list gives: nothing for none, which stands alone.
func emptied(flag string, given []string) ([]string, error) {
	switch {
	case !slices.Contains(given, "none"):
		return given, nil
	case len(given) > 1:
		return nil, fault.New(fault.InvalidArgument, "--"+flag+" none stands alone: it empties the list", "give either none or the entries that are to be there")
	}
	return nil, nil
}

// applyPassThrough replaces the hosts that are passed through, each in its canonical form; "none" names none.
func (f *policyFlags) applyPassThrough(cmd *cobra.Command, p *policy.Policy) error {
	if !cmd.Flags().Changed("pass-through") {
		return nil
	}
	p.PassThrough = nil
	entries, err := emptied("pass-through", f.passThrough)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		r, err := policy.ParsePassThrough(entry)
		if err != nil {
			return err
		}
		p.PassThrough = append(p.PassThrough, r.String())
	}
	return nil
}

func (f *policyFlags) applyExpiry(p *policy.Policy) error {
	switch f.expires {
	case "":
		return nil
	case "never":
		p.Expires = time.Time{}
		return nil
	}
	if d, err := time.ParseDuration(f.expires); err == nil && d > 0 {
		p.Expires = time.Now().UTC().Add(d).Truncate(time.Second)
		return nil
	}
	t, err := time.Parse(time.RFC3339, f.expires)
	if err != nil {
		return fault.New(fault.InvalidArgument, "--expires takes a duration (720h), a time (2027-01-02T15:04:05Z) or never", "")
	}
	p.Expires = t.UTC()
	return nil
}

func (f *policyFlags) applyCA(p *policy.Policy) error {
	switch {
	case f.ca == "":
	case f.ca == "none":
		p.UpstreamCA = ""
	default:
		b, err := os.ReadFile(strings.TrimPrefix(f.ca, "@"))
		if err != nil {
			return fault.New(fault.InvalidArgument, "the certificate file cannot be read", "check its name").Because(err)
		}
		p.UpstreamCA = string(b)
	}
	return nil
}

func (f *policyFlags) applyPins(p *policy.Policy, argv []string) error {
	if f.unpin != "" {
		n := len(p.Pins)
		p.Pins = removePin(p.Pins, f.unpin)
		if len(p.Pins) == n {
			return fault.New(fault.InvalidArgument, "there is no pinned command of that name", "`zavhoz resource policy HANDLE` shows them")
		}
	}
	if (f.pin == "") != (len(argv) == 0) {
		return fault.New(fault.InvalidArgument, "a pinned command needs a name and an argv", "for example: --pin NAME -- /usr/bin/program {n:int}")
	}
	if f.pin == "" {
		return nil
	}
	pin := policy.Pin{Name: f.pin, Argv: argv, Cwd: f.cwd, Env: f.pinEnv, Stdin: f.pinStdin, Open: f.pinOpen}
	if !filepath.IsAbs(argv[0]) {
		return fault.New(fault.InvalidArgument, "a pinned command begins with an absolute path", "`command -v PROGRAM` tells it")
	}
	switch f.hash {
	case "auto":
		sum, err := hashFile(argv[0])
		if err != nil {
			return fault.New(fault.BinaryMissing, "the pinned binary cannot be read", "check its path, or give --pin-hash").Because(err)
		}
		pin.SHA256 = sum
		if pin.Files, err = hashNamed(argv[1:]); err != nil {
			return err
		}
	case "none":
	default:
		pin.SHA256 = f.hash
	}
	p.Pins = append(removePin(p.Pins, f.pin), pin)
	return nil
}

// maxNamed is the largest file whose hash a pin keeps, in bytes: a larger one is data, and no script.
const maxNamed = 16 << 20

// hashNamed hashes the files that a pin's arguments name by absolute paths: what a shell or an interpreter is given to run is as much the command as the program.
func hashNamed(args []string) (map[string]string, error) {
	sums := map[string]string{}
	for _, a := range args {
		st, err := os.Stat(a)
		if !filepath.IsAbs(a) || filepath.Clean(a) != a || err != nil || !st.Mode().IsRegular() || st.Size() > maxNamed {
			continue
		}
		sum, err := hashFile(a)
		if err != nil {
			return nil, fault.New(fault.BinaryMissing, "a file that the pinned command names cannot be read", "check its permissions, or give --pin-hash none").Because(err)
		}
		sums[a] = sum
	}
	return sums, nil
}

func removePin(pins []policy.Pin, name string) []policy.Pin {
	var out []policy.Pin
	for _, p := range pins {
		if p.Name != name {
			out = append(out, p)
		}
	}
	return out
}

func with(list, more []string) []string {
	out := append([]string(nil), list...)
	return append(without(out, more), more...)
}

func without(list, drop []string) []string {
	var out []string
	for _, s := range list {
		keep := true
		for _, d := range drop {
			keep = keep && s != d
		}
		if keep {
			out = append(out, s)
		}
	}
	return out
}
