package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// policyLines prints a policy for people.
func policyLines(p policy.Policy) []string {
	var out []string
	add := func(name, text string) {
		if text != "" {
			out = append(out, name+": "+text)
		}
	}
	add("agents", strings.Join(p.Agents, ", "))
	for _, d := range p.Deliveries {
		add("delivery", string(d))
	}
	for _, h := range p.Hosts {
		add("host", h.String())
	}
	for _, pin := range p.Pins {
		add("pin "+pin.Name, pinText(pin))
	}
	for _, e := range p.Exec {
		add("exec", e)
	}
	if p.SFTP {
		add("sftp", "allowed")
	}
	if p.SSHAgent {
		add("ssh agent", "restricted")
	}
	add("passed through", strings.Join(p.PassThrough, ", "))
	add("approval", p.Approval)
	add("min level", string(p.MinLevel))
	if p.MaxUses > 0 {
		add("max uses", fmt.Sprint(p.MaxUses))
	}
	if p.MaxTTL > 0 {
		add("max ttl", span(time.Duration(p.MaxTTL)*time.Second))
	}
	if !p.Expires.IsZero() {
		add("expires", p.Expires.Format(time.RFC3339))
	}
	add("resolve", strings.Join(p.Resolve, ", "))
	if p.Private {
		add("private addresses", "allowed")
	}
	if p.UpstreamCA != "" {
		add("upstream CA", "own")
	}
	if len(out) == 0 {
		out = append(out, "default (any agent whose grants cover it; stand-ins only; no pinned commands)")
	}
	return out
}

// pinText is a pinned command as it would be typed, and what else was pinned about it.
func pinText(p policy.Pin) string {
	words := make([]string, len(p.Argv))
	for i, a := range p.Argv {
		words[i] = word(a)
	}
	var about []string
	if p.Open {
		about = append(about, "without walls")
	}
	if p.SHA256 != "" {
		about = append(about, "sha256 "+p.SHA256[:min(len(p.SHA256), shortHash)]+"…")
	} else {
		about = append(about, "any binary at that path")
	}
	if p.Cwd != "" {
		about = append(about, "in "+home.Quote(p.Cwd))
	}
	if len(p.Env) > 0 {
		about = append(about, "env "+strings.Join(p.Env, " "))
	}
	if p.Stdin {
		about = append(about, "stdin")
	}
	return strings.Join(words, " ") + " (" + strings.Join(about, ", ") + ")"
}

// shortHash is how many digits of a hash tell two binaries apart at a glance; --json has them all.
const shortHash = 12

// word quotes an element where a shell would not read it as one word; a plain hole is read as it is.
func word(s string) string {
	if bare := strings.NewReplacer("{", "", "}", "").Replace(s); home.Quote(bare) == bare {
		return s
	}
	return home.Quote(s)
}
