package kind

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// known are the shapes of secrets that are told from anything else by themselves.
var known = []struct {
	what string
	re   *lazyregexp.Regexp
}{
	{"a private key", lazyregexp.New(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|AGE-SECRET-KEY-1`)},
	{"a Telegram bot token", lazyregexp.New(`\b\d{5,20}:[A-Za-z0-9_-]{30,}`)},
	{"an API key", lazyregexp.New(`\b(sk|rk)[-_](live_|test_|ant-|proj-|or-)?[A-Za-z0-9_-]{16,}`)},
	{"a GitHub token", lazyregexp.New(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})`)},
	{"a GitLab token", lazyregexp.New(`\bgl(pat|dt|rt|ft|soat|cbt|ptt)-[A-Za-z0-9_.-]{16,}`)},
	{"an AWS access key", lazyregexp.New(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`)},
	{"a Slack token", lazyregexp.New(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}`)},
	{"a Google API key", lazyregexp.New(`\bAIza[A-Za-z0-9_-]{30,}`)},
	{"a Hugging Face token", lazyregexp.New(`\bhf_[A-Za-z0-9]{20,}`)},
	{"a package registry token", lazyregexp.New(`\b(npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|dckr_pat_[A-Za-z0-9_-]{20,})`)},
	{"a token", lazyregexp.New(`\b(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|dop_v1_[a-f0-9]{40,}|shp(at|ss|ca)_[a-fA-F0-9]{32}|xai-[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}|ntn_[A-Za-z0-9]{30,}|lin_api_[A-Za-z0-9]{30,}|pplx-[A-Za-z0-9]{30,}|re_[A-Za-z0-9]{8,}_[A-Za-z0-9]{16,})`)},
	{"a token of zavhoz", lazyregexp.New(`\bzvh_(agt|op)_[a-z2-7]{40,}`)},
	{"a JSON web token", lazyregexp.New(`\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}`)},
	{"a URL with a password", lazyregexp.New(`[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:[^\s/?#@]+@`)},
}

// LooksSecret tells whether a text holds something that is known to be a secret by its shape, and which sort. For every public text that comes
// from people or models: attributes, labels, purposes.
func LooksSecret(text string) (what string, yes bool) {
	for _, k := range known {
		if k.re.MatchString(text) {
			return k.what, true
		}
	}
	return "", false
}

// misplaced refuses a public attribute that holds one of the resource's own sealed values, or anything that looks like a secret.
func misplaced(d *Draft) error {
	for _, name := range slices.Sorted(maps.Keys(d.Attrs)) {
		value := d.Attrs[name]
		if what, yes := LooksSecret(value); yes {
			return pasted(name, "it looks like "+what)
		}
		for _, field := range slices.Sorted(maps.Keys(d.Secrets)) {
			if holdsValue(value, d.Secrets[field]) {
				return pasted(name, "it holds the value of "+field)
			}
		}
	}
	return nil
}

func pasted(name, why string) error {
	return fault.Newf(fault.SecretInvalid, "the public attribute %s is not valid: %s, and a model may read it", name, why).
		WithNext("give what is secret with `--secret`; replace the value if others have seen it").With("field", name)
}

// holdsValue tells whether text holds the whole value or one of its longer lines; armour lines of PEM are no secret.
func holdsValue(text string, value secret.Secret) bool {
	for line := range bytes.Lines(value.Reveal()) {
		line = bytes.TrimSpace(line)
		if len(line) < minSecret || bytes.HasPrefix(line, []byte("-----")) {
			continue
		}
		if strings.Contains(text, string(line)) {
			return true
		}
	}
	return false
}
