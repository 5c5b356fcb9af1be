package kind

import (
	"errors"
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	botToken    = lazyregexp.New(`^\d{5,20}:[A-Za-z0-9_-]{30,256}$`)
	botUsername = lazyregexp.New(`^@[A-Za-z][A-Za-z0-9_]{3,31}$`)
)

var _ = register(Kind{
	Name:    "telegram_bot",
	Summary: "a Telegram bot: its token, and the name that people know it by",
	Fields: []Field{
		{Name: "username", Class: Public, Help: "the bot's name, such as @weather_bot", Aliases: []string{"name"}, Clean: withAt, Check: shape(botUsername,
			"a bot's username has 4 to 32 letters, digits and `_`, begins with a letter, and may have an @ before it")},
		{Name: "token", Class: Secret, Required: true, Help: "the token that @BotFather gave", Aliases: []string{"bot_token", "key", "value"}, Check: shape(botToken,
			"a bot token is the bot's number, a colon, and 30 or more letters, digits, `_` and `-`, as @BotFather gives it")},
	},
	Env: func(attrs map[string]string) []EnvVar {
		vars := []EnvVar{{Name: "TELEGRAM_BOT_TOKEN", Field: "token"}}
		if name := attrs["username"]; name != "" {
			vars = append(vars, EnvVar{Name: "TELEGRAM_BOT_USERNAME", Value: strings.TrimPrefix(name, "@")})
		}
		return vars
	},
	Swaps: func(map[string]string) []Swap {
		return []Swap{{Field: "token", Path: "/bot{value}/"}, {Field: "token", Path: "/file/bot{value}/"}}
	},
	// Paths are open: the token is a segment of them. logOut and close would take the bot away from where it runs; the last two show or make
	// tokens of bots that it manages.
	Hosts: func(map[string]string) []policy.HostRule {
		return []policy.HostRule{{Host: "api.telegram.org", Methods: []string{"GET", "POST"},
			Deny: []string{"/*/logOut", "/*/close", "/*/getManagedBotToken", "/*/replaceManagedBotToken"}}}
	},
	Uses: func(attrs map[string]string) string {
		return named("the Telegram Bot API as ", attrs["username"], "this bot")
	},
	Placeholder: func(map[string]string, string) Shape {
		return Shape{Prefix: "7000000000:AA", Alphabet: alphanumeric + "_-"}
	},
	Deliveries: []policy.Delivery{policy.Broker, policy.None, policy.Env, policy.File},
	StandIn:    []policy.Delivery{policy.Broker, policy.None},
})

func withAt(v []byte) []byte {
	if len(v) > 0 && v[0] != '@' {
		return append([]byte{'@'}, v...)
	}
	return v
}

// shape makes a Check from a regular expression and the sentence that says it.
func shape(re *lazyregexp.Regexp, expects string) func([]byte) error {
	err := errors.New(expects)
	return func(v []byte) error {
		if re.Match(v) {
			return nil
		}
		return err
	}
}

// named gives head + name, or head + otherwise where there is no name.
func named(head, name, otherwise string) string {
	if name == "" {
		return head + otherwise
	}
	return head + name
}
