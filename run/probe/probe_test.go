package probe_test

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/probe"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const token = "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"

// telegram answers as the test says, and keeps what it was asked.
func telegram(t *testing.T, answer http.HandlerFunc) (base string, roots *x509.CertPool, asked *[]string) {
	asked = new([]string)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path)
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv.URL, roots, asked
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Only Telegram's own refusal refuses: whatever else comes in between could not be asked.
func TestOnlyTheServiceRefuses(t *testing.T) {
	for _, x := range []struct {
		what   string
		answer http.HandlerFunc
		code   fault.Code
	}{
		{"a bot", says(200, `{"ok":true,"result":{"id":1,"is_bot":true,"username":"weather_bot"}}`), ""},
		{"no token", says(401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`), fault.SecretInvalid},
		{"no such path, as for a token of another form", says(404, `{"ok":false,"error_code":404,"description":"Not Found"}`), fault.SecretInvalid},
		{"too many", says(429, `{"ok":false,"error_code":429}`), fault.ProviderUnavailable},
		{"a fault", says(502, `Bad Gateway`), fault.ProviderUnavailable},
		{"a portal that says yes", says(200, `<html>Welcome</html>`), fault.ProviderUnavailable},
		{"a portal that says no", says(404, `{"error":"not found"}`), fault.ProviderUnavailable},
		{"two words", says(401, `{"ok":false,"error_code":404}`), fault.ProviderUnavailable},
		{"no bot", says(200, `{"ok":true,"result":{"is_bot":false}}`), fault.ProviderUnavailable},
		{"yes without a word of who", says(200, `{"ok":true}`), fault.ProviderUnavailable},
		{"a flood", says(401, `{"ok":false,"pad":"`+strings.Repeat("x", 1<<20)+`","error_code":401}`), fault.ProviderUnavailable},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, fault.ProviderUnavailable},
	} {
		base, roots, asked := telegram(t, x.answer)
		err := probe.New(probe.Options{Telegram: base + "/", Roots: roots}).Probe(t.Context(), "telegram_bot", "token", secret.FromString(token))
		if fault.CodeOf(err) != x.code {
			t.Errorf("%s: %v, want %q", x.what, err, x.code)
		}
		if err != nil && strings.Contains(err.Error(), token[10:]) {
			t.Errorf("%s: the error holds the token", x.what)
		}
		if len(*asked) != 1 || (*asked)[0] != "GET /bot"+token+"/getMe" {
			t.Errorf("%s: asked %q", x.what, *asked)
		}
	}
}

// TestAttack65_ATokenGoesNowhereElse: not past a certificate of somebody else's, not by a proxy of the environment, not for another kind, not where nobody is named.
func TestAttack65_ATokenGoesNowhereElse(t *testing.T) {
	base, roots, asked := telegram(t, says(200, `{"ok":true,"result":{"is_bot":true}}`))
	t.Setenv("HTTPS_PROXY", base)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for what, p := range map[string]*probe.Prober{
		"an unknown certificate": probe.New(probe.Options{Telegram: base}),
		"no address":             probe.New(probe.Options{Roots: roots}),
		"a bad address":          probe.New(probe.Options{Telegram: "https://\x7f", Roots: roots}),
		"nobody there":           probe.New(probe.Options{Telegram: "https://127.0.0.1:1", Roots: roots}),
	} {
		if err := p.Probe(ctx, "telegram_bot", "token", secret.FromString(token)); fault.CodeOf(err) != fault.ProviderUnavailable || strings.Contains(err.Error(), token[10:]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := probe.New(probe.Options{Telegram: base, Roots: roots}).Probe(ctx, "api_key", "key", secret.FromString(token)); fault.CodeOf(err) != fault.ProviderUnavailable {
		t.Errorf("another kind: %v", err)
	}
	if len(*asked) != 0 {
		t.Errorf("asked %q", *asked)
	}
}

// A service that does not answer holds nobody up beyond the caller's time.
func TestTimeIsTheCallers(t *testing.T) {
	release := make(chan struct{})
	base, roots, _ := telegram(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := probe.New(probe.Options{Telegram: base, Roots: roots}).Probe(ctx, "telegram_bot", "token", secret.FromString(token)); fault.CodeOf(err) != fault.ProviderUnavailable || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
}
