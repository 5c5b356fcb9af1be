package time4vps

import (
	"bytes"
	"html"
	"regexp"
	"sync"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// maxPassword bounds a password in bytes: more is a page, not a password.
const maxPassword = 256

// The forms of a password task's results, tried in this order: an anchor whose onclick sets innerHTML, then plain lines.
var passwordForms = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?i)innerHTML\s*=\s*"((?:[^"\\]|\\.)+)"`),
		regexp.MustCompile(`(?i)innerHTML\s*=\s*'((?:[^'\\]|\\.)+)'`),
		regexp.MustCompile(`(?i)innerHTML\s*=\s*&quot;(.+?)&quot;`),
		regexp.MustCompile(`(?i)\bnew\s+password\s*:\s*(\S+)`),
		regexp.MustCompile(`(?i)\broot\s+password\s*:\s*(\S+)`),
		regexp.MustCompile(`(?i)\bpassword\s*:\s*(\S+)`),
	}
})

// trailingTag is markup after a plain password ("Password: abc<br>"). Only tags that we know: a password may hold "<" itself.
var trailingTag = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)</?(?:a|b|br|code|div|i|li|p|pre|span|strong|td|tr)(?:/?>|$)`)
})

// scripted is how many of the forms are JavaScript texts, with backslashes to take away.
const scripted = 3

// parsePassword finds the new password in a task's results, HTML entities decoded. A match that begins with "<" is markup, not a password.
func parsePassword(results secret.Secret) (secret.Secret, bool) {
	text := results.Reveal()
	for i, form := range passwordForms() {
		m := form.FindSubmatch(text)
		if m == nil || m[1][0] == '<' {
			continue
		}
		word := bytes.Clone(m[1])
		if i < scripted {
			word = unslash(word)
		} else if tag := trailingTag().FindIndex(word); tag != nil && tag[0] > 0 {
			word = word[:tag[0]]
		}
		if bytes.IndexByte(word, '&') >= 0 {
			decoded := []byte(html.UnescapeString(string(word)))
			clear(word)
			word = decoded
		}
		if len(word) > maxPassword || bytes.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			clear(word)
			continue
		}
		return secret.New(word), true
	}
	return secret.Secret{}, false
}

// unslash takes the backslashes of a JavaScript text away, in place.
func unslash(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	clear(b[len(out):])
	return out
}
