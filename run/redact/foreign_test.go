package redact

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// of gives n bytes of an alphabet. No secret stands whole in this file: scanners of public trees would take it for one that leaked.
func of(alphabet string, n int) string {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(alphabet))))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	hexes   = "0123456789abcdef"
	capital = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	b64s    = letters + "+/"
)

// example is a text whose middle is somebody's secret.
type example struct{ sort, before, secret, after string }

// alone is a token of its own between blanks.
func alone(sort, secret string) example { return example{sort, "it is ", secret, " here\n"} }

// examples has one of every rule at least, and for each of the plain tokens its own shape.
func examples() []example {
	var all []example
	add := func(sort string, alphabet string, n int, literals ...string) {
		for _, l := range literals {
			all = append(all, alone(sort, l+of(alphabet, n)))
		}
	}
	add("a-github-token", letters, 36, "ghp_", "gho_", "ghu_", "ghs_", "ghr_")
	add("a-github-token", letters+"_", 82, "github_pat_")
	add("a-gitlab-token", letters+"_", 20, "glpat-", "gldt-", "glrt-", "glrtr-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-", "glcbt-1a_", "glffct-", "GR1348941")
	add("an-atlassian-token", letters, 186, "ATATT3", "ATCTT3")
	add("an-atlassian-token", letters, 32, "ATBB")
	add("an-npm-token", letters, 36, "npm_")
	add("a-pypi-token", letters+"_-", 160, "pypi-AgE")
	add("a-rubygems-key", hexes, 48, "rubygems_")
	add("a-docker-token", letters+"_-", 27, "dckr_pat_", "dckr_oat_")
	add("a-buildkite-token", hexes, 40, "bkua_")
	add("a-circleci-token", letters, 62, "CCIPAT_", "CCIPRJ_")
	add("a-sourcegraph-token", hexes, 56, "sgp_")
	add("a-postman-key", hexes, 59, "PMAK-")
	add("an-aws-key", capital, 16, "AKIA", "ASIA")
	add("a-google-key", letters+"_-", 35, "AIza")
	add("a-google-key", letters+"_-", 28, "GOCSPX-")
	add("a-google-token", letters+"_-", 120, "ya29.")
	add("a-google-token", letters, 98, "1//0")
	add("a-digitalocean-token", hexes, 64, "dop_v1_", "doo_v1_", "dor_v1_")
	add("a-cloudflare-key", hexes, 170, "v1.0-")
	add("a-fly-token", b64s, 200, "fm2_", "fm1r_", "fm1a_")
	add("a-fly-token", letters, 43, "fo1_")
	add("a-heroku-key", letters, 60, "HRKU-")
	add("a-netlify-token", letters, 36, "nfp_")
	add("a-render-key", letters, 28, "rnd_")
	add("a-supabase-key", hexes, 40, "sbp_")
	add("a-supabase-key", letters, 32, "sb_secret_")
	add("a-planetscale-token", letters, 43, "pscale_tkn_", "pscale_pw_", "pscale_oauth_")
	add("a-databricks-token", hexes, 32, "dapi")
	add("a-doppler-token", letters, 43, "dp.pt.", "dp.st.dev.")
	add("a-vault-token", letters, 90, "hvs.", "hvb.")
	add("a-pulumi-token", hexes, 40, "pul-")
	add("a-tailscale-key", letters, 40, "tskey-auth-")
	add("a-grafana-token", letters, 41, "glsa_")
	add("a-grafana-token", letters, 120, "glc_eyJ")
	add("a-newrelic-key", capital, 27, "NRAK-")
	add("a-sentry-token", letters, 120, "sntrys_")
	add("a-sentry-token", hexes, 64, "sntryu_")
	add("a-dynatrace-token", capital, 89, "dt0c01.")
	add("an-alibaba-key", letters, 20, "LTAI")
	add("a-1password-token", letters, 250, "ops_eyJ")
	add("a-yandex-key", letters, 36, "AQVN")
	add("a-yandex-token", letters, 40, "y0_AgAAAA")
	add("a-vk-token", letters, 160, "vk1.a.")
	add("a-scaleway-key", capital, 17, "SCW")
	add("an-api-key", letters, 48, "sk-")
	add("an-openai-key", letters+"_-", 156, "sk-proj-", "sk-svcacct-", "sk-admin-")
	add("an-anthropic-key", letters+"_-", 93, "sk-ant-api03-")
	add("an-openrouter-key", hexes, 64, "sk-or-v1-")
	add("a-hugging-face-token", letters, 34, "hf_", "api_org_")
	add("a-replicate-token", letters, 37, "r8_")
	add("an-xai-key", letters, 80, "xai-")
	add("a-groq-key", letters, 52, "gsk_")
	add("a-perplexity-key", letters, 48, "pplx-")
	add("an-nvidia-key", letters, 64, "nvapi-")
	add("a-pinecone-key", letters, 70, "pcsk_")
	add("a-tavily-key", letters, 32, "tvly-dev-")
	add("a-langsmith-key", hexes, 42, "lsv2_pt_")
	add("an-elevenlabs-key", hexes, 48, "sk_")
	add("a-slack-token", letters, 50, "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxe-", "xoxe.xoxp-", "xoxc-", "xoxd-", "xapp-")
	add("a-sendgrid-key", letters, 66, "SG.")
	add("a-mailgun-key", hexes, 32, "key-")
	add("a-brevo-key", letters, 81, "xkeysib-", "xsmtpsib-")
	add("a-resend-key", letters, 32, "re_")
	add("a-stripe-key", letters, 24, "sk_live_", "sk_test_", "rk_live_", "rk_test_")
	add("a-webhook-secret", letters, 32, "whsec_")
	add("a-square-token", letters, 43, "sq0atp-", "sq0csp-")
	add("a-shopify-token", hexes, 32, "shpat_", "shpca_", "shppa_", "shpss_")
	add("a-linear-key", letters, 40, "lin_api_", "lin_oauth_")
	add("a-notion-token", letters, 46, "ntn_", "secret_")
	add("a-figma-token", letters, 40, "figd_")
	add("a-posthog-key", letters, 43, "phx_")
	add("a-mapbox-token", letters, 80, "sk.eyJ")
	add("a-facebook-token", letters, 180, "EAA")
	add("a-contentful-token", letters, 43, "CFPAT-")
	add("a-zavhoz-token", letters, 40, "zvh_agt_", "zvh_op_")
	for _, c := range hexes {
		add("a-twilio-key", hexes, 31, "SK"+string(c))
	}
	add("a-password-hash", letters, 53, "$2a$10$", "$2b$10$", "$2y$10$")
	add("a-password-hash", letters, 86, "$5$", "$6$", "$y$j9T$", "$argon2id$v=19$")
	add("a-private-key", capital, 58, "AGE-SECRET-KEY-1")
	add("a-private-key", b64s, 200, "b3BlbnNzaC1rZXktdjE")
	for _, label := range []string{"PRIVATE", "RSA PRIVATE", "EC PRIVATE", "OPENSSH PRIVATE", "ENCRYPTED PRIVATE"} {
		pem := "-----BEGIN " + label + " KEY-----\n" + of(b64s, 64) + "\n"
		all = append(all, example{"a-private-key", "client-key-data: ", base64.StdEncoding.EncodeToString([]byte(pem)), "\n"})
	}
	return append(all, bound()...)
}

// bound are secrets that are known by what stands around them.
func bound() []example {
	jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"1234567890"}`)) + "." + of(letters, 43)
	pem := func(label, sep string) string {
		return "-----BEGIN " + label + "-----" + sep + of(b64s, 64) + sep + of(b64s, 40) + "==" + sep + "-----END " + label + "-----"
	}
	ppk := "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: c\nPublic-Lines: 2\n" + of(b64s, 64) + "\n" + of(b64s, 20) + "\nPrivate-Lines: 1\n" + of(b64s, 48) + "\nPrivate-MAC: " + of(hexes, 64)
	login := base64.StdEncoding.EncodeToString([]byte("bob:" + of(letters, 16)))
	return []example{
		{"a-private-key", "key: ", pem("PRIVATE KEY", "\n"), "\nnext\n"},
		{"a-private-key", "", pem("OPENSSH PRIVATE KEY", "\r\n"), "\r\nnext"},
		{"a-private-key", `{"k":"`, pem("RSA PRIVATE KEY", `\n`), `\n","next":1}`},
		{"a-private-key", "x", pem("PGP PRIVATE KEY BLOCK", "\n"), "y"},
		{"a-private-key", "", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + of(hexes, 32) + "\n\n" + of(b64s, 64) + "\n-----END RSA PRIVATE KEY-----", "\n"},
		{"a-private-key", "a\n", ppk, "\nb\n"},
		{"a-private-key", "[Interface]\nPrivateKey = ", of(b64s, 43) + "=", "\nAddress = 10.0.0.1\n"},
		{"a-private-key", "PresharedKey = ", of(b64s, 43) + "=", "\n"},
		{"an-npm-token", "//registry.example/:_authToken=", of(letters, 36), "\n"},
		{"a-terraform-token", of(letters, 14) + ".atlasv1.", of(letters, 67), "\n"},
		{"an-aws-key", "u,", "AKIA" + of(capital, 16) + "," + of(b64s, 40), "\r\n"},
		{"an-aws-key", "aws_secret_access_key = ", of(b64s, 40), "\n"},
		{"an-assigned-secret", "AWS_SECRET_ACCESS_KEY=", of(b64s, 40), "\n"},
		{"an-assigned-secret", "APP_TOKEN=", of(b64s, 40), "\n"},
		{"an-aws-key", `"SecretAccessKey": "`, of(b64s, 40), `",`},
		{"an-aws-key", `"SessionToken": "`, of(b64s, 300), `",`},
		{"an-aws-key", "export AWS_SESSION_TOKEN=", of(b64s, 300), "\n"},
		{"an-azure-key", "AccountName=a;AccountKey=", of(b64s, 86) + "==", ";EndpointSuffix=x"},
		{"an-azure-key", "SharedAccessKey=", of(b64s, 43) + "=", ";x"},
		{"an-azure-signature", "https://a.example/b?sv=1&sig=", of(letters, 41) + "%3D", "&se=2"},
		{"a-slack-webhook", "https://hooks.slack.com/services/", "T" + of(letters, 8) + "/B" + of(letters, 8) + "/" + of(letters, 24), " "},
		{"a-slack-webhook", "https://hooks.slack.com/workflows/", "T" + of(letters, 8) + "/A" + of(letters, 8) + "/" + of(letters, 24), " "},
		{"a-discord-webhook", "https://discord.com/api/webhooks/", of("0123456789", 19) + "/" + of(letters, 68), " "},
		{"a-telegram-bot-token", "bot 123456789:", "AA" + of(letters, 33), "\n"},
		{"a-url-password", "postgres://bob:", "s3cret!p@ss", "@db.example:5432/x"},
		{"a-url-password", "redis://:", of(letters, 12), "@cache"},
		{"a-login-header", "> Authorization: Bearer ", of(letters, 30), "\r\n"},
		{"a-login-header", "authorization: token ", of(letters, 30), "\r\n"},
		{"a-login-header", `{"Authorization": "Basic `, of(letters, 30) + "==", `"}`},
		{"a-login-header", "Proxy-Authorization: Basic ", of(letters, 30), "\n"},
		{"a-login-header", "Authorization: ", of(hexes, 40), "\n"},
		{"a-login-header", "X-Api-Key: ", of(letters, 30), "\n"},
		{"a-login-header", "X-Auth-Token: ", of(letters, 30), "\n"},
		{"a-login-header", "X-Vault-Token: ", of(letters, 30), "\n"},
		{"a-login-header", "PRIVATE-TOKEN: ", of(letters, 30), "\n"},
		{"a-login-header", "Private-Token: ", of(letters, 30), "\n"},
		{"a-login-header", "private-token: ", of(letters, 30), "\n"},
		{"a-login-header", "x-auth-token: ", of(letters, 30), "\n"},
		{"a-login-header", "x-vault-token: ", of(letters, 30), "\n"},
		{"a-login-header", "x-api-key: ", of(letters, 30), "\n"},
		{"a-login-header", "X-API-Key: ", of(letters, 30), "\n"},
		{"a-login-header", "X-API-KEY: ", of(letters, 30), "\n"},
		{"a-login-header", "AUTHORIZATION=Bearer ", of(letters, 30), "\n"},
		{"an-aws-key", "secretAccessKey: '", of(b64s, 40), "'"},
		{"an-aws-key", "sessionToken: '", of(b64s, 300), "'"},
		{"an-aws-key", "aws_session_token=", of(b64s, 300), "\n"},
		{"an-assigned-secret", "host=db password=", "hunter22-9", " user=x"},
		{"a-json-web-token", "token=", jwt, "&x"},
		{"a-docker-login", `"auths":{"r.example":{"auth": "`, login, `"}}`},
		{"an-assigned-secret", "MYSQL_ROOT_PASSWORD=", "correct-horse-7", "\n"},
		{"an-assigned-secret", "DB_PASSWD='", "correct-horse-7", "'\n"},
		{"an-assigned-secret", "APP_SECRET=\"", "correct horse"[:7] + "-horse", "\"\n"},
		{"an-assigned-secret", "  APP_TOKEN: ", "correct-horse", "\n"},
		{"an-assigned-secret", "ACME_API_KEY=", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_SECRET_KEY=", of(hexes, 24), "\n"},
		{"an-assigned-secret", "SECRET_KEY_BASE=", of(hexes, 64), "\n"},
		{"an-assigned-secret", "ACME_PRIVATE_KEY=", of(hexes, 64), "\n"},
		{"an-assigned-secret", "ACME_ACCESS_KEY=", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_PASSWORD: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_PASSWD: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_SECRET: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_API_KEY: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_SECRET_KEY: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_PRIVATE_KEY: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "ACME_ACCESS_KEY: ", of(hexes, 24), "\n"},
		{"an-assigned-secret", "Server=db;User Id=sa;Password=", "hunter22-9", ";Encrypt=true"},
	}
}

func (x example) text() string { return x.before + x.secret + x.after }

func (x example) want() string { return x.before + "[redacted:looks-like-" + x.sort + "]" + x.after }

// foreign masks text, cut after each of cuts, or after every n bytes.
func foreign(t testing.TB, o ForeignOptions, text string, size func() int) (string, Report) {
	t.Helper()
	var out bytes.Buffer
	s := Foreign(&out, o)
	for rest := text; len(rest) > 0; {
		n := min(size(), len(rest))
		if _, err := s.Write([]byte(rest[:n])); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), s.Report()
}

func atOnce() int   { return 1 << 30 }
func bytewise() int { return 1 }

func TestEveryForeignRule(t *testing.T) {
	for _, x := range examples() {
		for how, size := range map[string]func() int{"at once": atOnce, "by bytes": bytewise} {
			got, r := foreign(t, ForeignOptions{}, x.text(), size)
			if got != x.want() || r.Redactions != 1 || !slices.Equal(r.Names, []string{"looks-like-" + x.sort}) {
				t.Errorf("%s, %s: %q became %q, want %q; %v", x.sort, how, x.text(), got, x.want(), r)
			}
		}
	}
}

// Every rule of the tables is what masks one of the examples.
func TestNoRuleWithoutAnExample(t *testing.T) {
	used := map[*foreignRule]bool{}
	for _, x := range examples() {
		s := Foreign(&bytes.Buffer{}, ForeignOptions{})
		s.buf = []byte(x.text())
		if f, v := s.next(true); v == yes {
			used[f.rule] = true
		}
	}
	for _, slot := range foreignRules().windows {
		for _, p := range slot {
			if !used[p.rule] {
				t.Errorf("no example for %q (%s)", p.rule.literal, p.rule.name)
			}
		}
	}
}

// What is not masked: mentions, stand-ins for a secret, markers of ours, ordinary text.
func TestForeignLeavesTextAlone(t *testing.T) {
	for _, text := range []string{
		"", "\n", "ghp_", "ghp_short", "the prefix is ghp_ and glpat- and sk-", "sk-toggleable__label-arrow-estimator-doc", "risk-" + of(letters, 40), "task_" + of(hexes, 10),
		"-----BEGIN CERTIFICATE-----\n" + of(b64s, 64) + "\n-----END CERTIFICATE-----\n", "-----BEGIN PUBLIC KEY-----\n" + of(b64s, 64) + "\n-----END PUBLIC KEY-----\n",
		"it begins with -----BEGIN RSA PRIVATE KEY----- and a line end", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n" + of(b64s, 64),
		"https://example.com/a:b@c", "https://bob@example.com/", "https://u:[redacted:db.url]@h/x", "postgres://u:${DB_PASSWORD}@h", "postgres://u:password@h", "see http://h:8080/?a=b@c", "https://u:****@h/", "x://", "://a:b@c",
		"Authorization: Bearer [redacted:bot.token]", "authorization: required for every call", "Authorization: Bearer $TOKEN", "Authorization", "x-api-key: <key>", "the eyJ of a header", "eyJhbGciOi.x",
		"API_TOKEN=[redacted:acme.key]\n", "PASSWORD=${DB_PASSWORD}\n", "TOKEN=$OTHER\n", "TOKEN=/run/secrets/token\n", "MAX_TOKEN=100000000\n", "PASSWORD=short\n", "MY_PASSWORD=\n", "TOKEN=xxxxxxxxxxxx\n", "password=request.form", "password=input(\"x\")", "TOKEN=--------------\n",
		`"auth": "none"`, `"auth":{"a":1}`, "aws_secret_access_key = ", "SKIP", "MASKED", "12:AAbc", "10:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "EAA", "commit " + of(hexes, 40) + "\n",
		"[redacted:looks-like-a-github-token]",
	} {
		for _, size := range []func() int{atOnce, bytewise} {
			if got, r := foreign(t, ForeignOptions{}, text, size); got != text || r.Redactions != 0 {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	log := string(makeLog(1 << 20))
	if got, r := foreign(t, ForeignOptions{}, log, atOnce); got != log {
		t.Errorf("a log was masked: %v", r)
	}
}

// A placeholder passes where it stands whole; whatever is glued to it is masked with it.
func TestAttack60_APlaceholderIsNoCoverForAToken(t *testing.T) {
	stand, real := "ghp_"+of(letters, 36), "ghp_"+of(letters, 37)
	bot := "123456789:AA" + of(letters, 33)
	o := ForeignOptions{Exempt: []string{stand, bot, "sk-" + of(letters, 29)}}
	const mark = "[redacted:looks-like-a-github-token]"
	for text, want := range map[string]string{
		"GITHUB_TOKEN=" + stand + "\n":   "GITHUB_TOKEN=" + stand + "\n",
		stand:                            stand,
		bot + "\n":                       bot + "\n",
		stand + " " + real:               stand + " " + mark,
		stand + real:                     mark,
		stand + "x":                      mark,
		stand[:len(stand)-1]:             mark,
		"x" + stand:                      "x" + stand,
		stand + "\n" + real:              stand + "\n" + mark,
		"Authorization: Bearer " + stand: "Authorization: Bearer " + stand,
		"https://u:" + stand + "@h":      "https://u:" + stand + "@h",
		"https://u:" + stand + "-x@h":    "https://u:[redacted:looks-like-a-url-password]@h",
		"sk-" + of(letters, 29) + real:   "[redacted:looks-like-an-api-key]",
	} {
		for _, size := range []func() int{atOnce, bytewise} {
			if got, _ := foreign(t, o, text, size); got != want {
				t.Errorf("%q became %q, want %q", text, got, want)
			}
		}
	}
}

// A key that does not end is masked for maxBlock bytes, then the text is text again; at the end of the stream to its end.
func TestAttack58_AKeyWithoutItsEnd(t *testing.T) {
	head := "-----BEGIN RSA PRIVATE KEY-----\n"
	const mark = "[redacted:looks-like-a-private-key]"
	body := of(b64s, 64) + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"cut":       {head + body + body, mark},
		"long":      {head + strings.Repeat(body, maxBlock/65+1), ""},
		"two":       {head + body + "-----END RSA PRIVATE KEY-----\nx" + head + body + "-----END RSA PRIVATE KEY-----\ny", mark + "\nx" + mark + "\ny"},
		"mentioned": {head + "is the first line of a key\n" + strings.Repeat("and this is text.\n", 100), head + "is the first line of a key\n" + strings.Repeat("and this is text.\n", 100)},
	} {
		for _, size := range []func() int{atOnce, bytewise} {
			got, _ := foreign(t, ForeignOptions{}, c.text, size)
			if name == "long" {
				if left := len(got) - len(mark); !strings.HasPrefix(got, mark) || left != len(c.text)-len(head)-maxBlock+0 && left > 200 {
					t.Errorf("%s: %d bytes left", name, left)
				}
				continue
			}
			if got != c.want {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// Ordinary lines are not held back, and what is held is bounded.
func TestForeignHoldsOnlyWhatMayMatch(t *testing.T) {
	var out bytes.Buffer
	s := Foreign(&out, ForeignOptions{})
	want := ""
	for _, line := range []string{"ready\n", "OK\n", "level=info msg=x\n", "{\"a\":1}\n", "$ ", "sks\n"} {
		_, _ = s.Write([]byte(line))
		if want += line; out.String() != want {
			t.Errorf("held back: %q", want[out.Len():])
		}
	}
	for _, begin := range []string{"ghp_", "eyJ", "x://u:", "-----BEGIN RSA PRIVATE KEY-----\n", "PASSWORD=", "authorization: ", "authorization: bearer ", `"auth": "`, "12345678:AA", "AKIA" + of(capital, 16)} {
		for _, more := range []string{"a", "/", ".", " ", "A", "0", ":", "=", "\n", "ab-"} {
			var out bytes.Buffer
			s := Foreign(&out, ForeignOptions{Exempt: []string{"ghp_" + of(letters, 36)}})
			_, _ = s.Write([]byte(begin + strings.Repeat(more, 64<<10)))
			if held := len(s.buf) - s.pos; held > maxLogin+contextLen {
				t.Errorf("%q and many %q: %d bytes held", begin, more, held)
			}
		}
	}
}

func TestForeignErrorsStick(t *testing.T) {
	s := Foreign(&failing{}, ForeignOptions{})
	if _, err := s.Write([]byte("x\n")); err == nil {
		t.Fatal("no error")
	}
	if _, err := s.Write([]byte("x\n")); err == nil {
		t.Error("an error was forgotten")
	}
	var out bytes.Buffer
	s = Foreign(&out, ForeignOptions{})
	_ = s.Close()
	if _, err := s.Write([]byte("x")); err != ErrClosed || s.Close() != nil {
		t.Errorf("after Close: %v", err)
	}
}
