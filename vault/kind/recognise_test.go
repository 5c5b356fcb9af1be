package kind_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func TestRecognise(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"ANYTHING", "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN", "telegram_bot token map[]"},
		{"DATABASE_URL", "postgres://app:hunter2hunter2@db.example/app", "database url map[env:DATABASE_URL]"},
		{"SHOP_DB", "mysql://app:hunter2hunter2@db.example/app", "database url map[env:SHOP_DB]"},
		{"OPENAI_API_KEY", "sk-" + strings.Repeat("a", 40), "api_key key map[service:openai]"},
		{"SOME_KEY", "sk-ant-" + strings.Repeat("a", 40), "api_key key map[env:SOME_KEY service:anthropic]"},
		{"SOME_KEY", "sk-" + strings.Repeat("a", 40), "generic value map[env:SOME_KEY]"}, // many services' keys begin so
		{"OPENAI_API_KEY", "sk-ant-" + strings.Repeat("a", 40), "api_key key map[env:OPENAI_API_KEY service:anthropic]"},
		{"MISTRAL_API_KEY", "abcdefghijklmnop", "api_key key map[service:mistral]"},
		{"TIME4VPS_PASSWORD", "abcdefghijklmnop", "generic value map[env:TIME4VPS_PASSWORD]"}, // its user is not known
		{"AWS_SECRET_ACCESS_KEY", "abcdefghijklmnop", "generic value map[env:AWS_SECRET_ACCESS_KEY]"},
		{"LD_PRELOAD", "/tmp/evil.so", "generic value map[]"},
		{"not a variable", "abcdefghijklmnop", "generic value map[]"},
		{"", "", "generic value map[]"},
	} {
		g := kind.Recognise(c.name, secret.FromString(c.value))
		if got := fmt.Sprint(g.Kind, " ", g.Field, " ", g.Attrs); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if g := kind.Recognise("DEPLOY_KEY", secret.FromString("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")); g.Kind != "generic" || !strings.Contains(g.Note, "private key") {
		t.Errorf("a private key is %v", g)
	}
}
