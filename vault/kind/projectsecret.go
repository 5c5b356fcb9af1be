package kind

import (
	"bytes"
	"crypto/subtle"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// BotTokenName is the variable in which everybody keeps a bot's token: what comes under it is one.
const BotTokenName = "TELEGRAM_BOT_TOKEN"

var (
	secretName = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	botLike    = lazyregexp.New(`^\d{5,}:[A-Za-z0-9_-]{30,}$`)
)

// SecretName tells whether a text is the name of a project's secret: that of a variable, of at most 128 characters.
func SecretName(name string) bool { return secretName.MatchString(name) }

// Holds tells whether a public text holds a value or one of its longer lines.
func Holds(text string, value secret.Secret) bool { return holdsValue(text, value) }

// ProjectSecret checks a value of a project by itself, and gives it in canonical form: a copy with a life of its own. asks is the kind whose service can tell
// whether it is good, and under which field; "" where none can. Errors: secret_invalid with detail "field".
func ProjectSecret(name string, value secret.Secret) (own secret.Secret, asks, field string, err error) {
	v := bytes.TrimRight(value.Reveal(), "\r\n")
	bad := func(why string) error {
		return fault.New(fault.SecretInvalid, name+" is not valid: "+why, "give another value of "+name).With("field", name)
	}
	switch {
	case value.IsZero():
		return own, "", "", bad("it is empty")
	case value.Len() > MaxField:
		return own, "", "", bad("it is longer than 64 KiB")
	case !utf8.Valid(value.Reveal()) || bytes.IndexByte(value.Reveal(), 0) >= 0:
		return own, "", "", bad("it is not text; keep binary data as base64")
	case subtle.ConstantTimeCompare(v, []byte(name)) == 1:
		return own, "", "", bad("it is the name itself")
	case name != BotTokenName && !botLike.Match(v):
		return value.Clone(), "", "", nil
	}
	k, err := Get("telegram_bot")
	if err != nil {
		return own, "", "", err
	}
	ok, err := k.Validate(nil, map[string]secret.Secret{"token": value})
	if err != nil {
		return own, "", "", bad("a bot token is the bot's number, a colon, and 30 or more letters, digits, `_` and `-`, as @BotFather gives it")
	}
	return ok.Secrets["token"], k.Name, "token", nil
}
