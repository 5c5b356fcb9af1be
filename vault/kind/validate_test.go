package kind_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

type row struct {
	kind    string
	attrs   map[string]string
	secrets map[string]secret.Secret
}

func TestAccepted(t *testing.T) {
	host := "192.0.2.7"
	crlf := strings.ReplaceAll(ed25519Key(t), "\n", "\r\n")
	for name, c := range map[string]row{
		"token with a line end":    {"telegram_bot", nil, sealed("token", token+"\n")},
		"token by an alias":        {"telegram_bot", nil, sealed("bot_token", token)},
		"openssh":                  {"server", nil, sealed("host", host, "ssh_key", ed25519Key(t))},
		"openssh, CRLF, cut":       {"server", nil, sealed("host", host, "ssh_key", strings.TrimSpace(crlf))},
		"openssh, one line":        {"server", nil, sealed("host", host, "ssh_key", strings.ReplaceAll(ed25519Key(t), "\n", `\n`))},
		"openssh, indented":        {"server", nil, sealed("host", host, "ssh_key", "\n  "+strings.ReplaceAll(ed25519Key(t), "\n", "\n  "))},
		"openssh, encrypted":       {"server", nil, sealed("host", host, "ssh_key", lockedKey(), "ssh_key_passphrase", passphrase+"\n")},
		"legacy pem, encrypted":    {"server", nil, sealed("host", host, "ssh_key", legacyLocked(), "passphrase", passphrase)},
		"rsa pem":                  {"server", nil, sealed("host", host, "ssh_key", rsaPEM(t))},
		"ec pem":                   {"server", nil, sealed("host", host, "ssh_key", ecPEM(t))},
		"pkcs8 rsa":                {"server", nil, sealed("host", host, "ssh_key", pkcs8PEM(rsaKey()))},
		"pkcs8 ed25519":            {"server", nil, sealed("host", host, "ssh_key", pkcs8PEM(edKey()))},
		"password":                 {"server", attrs("port", "2222"), sealed("host", "2001:db8::7", "password", "canary pass ")},
		"two host keys":            {"server", attrs("host_key", "\n"+hostKey+" comment\n"+strings.TrimSpace(publicKey())+"\n"), sealed("host", host, "password", "canary-pass")},
		"bracketed v6":             {"server", nil, sealed("host", "[2001:db8::7]", "password", "canary-pass")},
		"own hosts":                {"api_key", attrs("env", "ACME_API_KEY", "hosts", "api.acme.example"), sealed("key", "canary-key-1")},
		"own header":               {"api_key", attrs("env", "ACME_API_KEY", "hosts", "api.acme.example:8443 GET /v1/*", "header", "x-acme: Token {key}"), sealed("key", "canary-key-1")},
		"basic":                    {"api_key", attrs("env", "ACME_API_KEY", "hosts", "a.example,b.example", "header", "Basic", "username", "me"), sealed("password", "canary-key-1")},
		"a gitlab of one's own":    {"api_key", attrs("service", "GitLab", "hosts", "git.acme.example"), sealed("key", "glpat-canary0123456789")},
		"time4vps":                 {"api_key", attrs("service", "time4vps", "username", "me@acme.example"), sealed("password", "canary-pass")},
		"fly, with a blank":        {"api_key", attrs("service", "fly"), sealed("key", "FlyV1 fm2_canary0123456789abcdef")},
		"zone id":                  {"domain", attrs("zone", "acme.example.", "zone_id", strings.Repeat("0a", 16)), sealed("token", "canary0123456789")},
		"pkcs8 app key":            {"github_app", attrs("app_id", "1", "installation_id", "2"), sealed("pem", pkcs8PEM(rsaKey()))},
		"mysql":                    {"database", attrs("env", "MYSQL_URL"), sealed("url", "mysql+pymysql://u:canary-pw-1@10.0.0.5/db")},
		"mongodb, several hosts":   {"database", nil, sealed("url", "mongodb://u:canary-pw-1@a.example:27017,b.example/db?replicaSet=x")},
		"mongodb+srv":              {"database", nil, sealed("url", "mongodb+srv://u:canary-pw-1@c0.acme.example/db")},
		"redis without a password": {"database", nil, sealed("url", "redis://redis:6379/0")},
		"redis v6":                 {"database", nil, sealed("url", "rediss://:canary-pw-1@[2001:db8::1]:6380")},
		"generic, lines":           {"generic", attrs("env", "X_KEY"), sealed("value", "canary 1\ncanary 2\n")},
		"generic, own names":       {"generic", attrs("env_client_id", "ACME_ID"), sealed("client_id", "canary-id-1", "client_secret", "canary-secret")},
		"an empty optional":        {"server", attrs("host_key", ""), sealed("host", host, "password", "canary-pass", "ssh_key", "")},
	} {
		if _, err := get(t, c.kind).Validate(c.attrs, c.secrets); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	host := "192.0.2.7"
	key := ed25519Key(t)
	many := bytes.Replace(mustDecode(lockedKey()), []byte{0, 0, 0, 24}, []byte{0, 0, 0, 24}, 1)
	if i := bytes.Index(many, []byte{0, 0, 0, 16}); i > 0 { // the salt: its 16 bytes, then the rounds
		copy(many[i+20:], []byte{0xff, 0xff, 0xff, 0xff})
	}
	weak := text(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(must(rsa.GenerateKey(rand.Reader, 1024)))})
	slow := text(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: many})
	for name, c := range map[string]struct {
		row
		code fault.Code
		says string // a word that the refusal must hold
	}{
		"no token":               {row{"telegram_bot", nil, nil}, fault.SecretMissing, "token"},
		"short token":            {row{"telegram_bot", nil, sealed("token", "12345:canary")}, fault.SecretInvalid, "BotFather"},
		"token with a blank":     {row{"telegram_bot", nil, sealed("token", token+" ")}, fault.SecretInvalid, "BotFather"},
		"token in the name":      {row{"telegram_bot", attrs("username", token), sealed("token", token)}, fault.InvalidArgument, "username"},
		"token as an attribute":  {row{"telegram_bot", attrs("token", token), nil}, fault.SecretInvalid, "--secret token"},
		"attribute as a secret":  {row{"telegram_bot", nil, sealed("username", "weather_bot")}, fault.UnknownField, "--set username"},
		"unknown field":          {row{"telegram_bot", attrs("colour-canary", "x"), nil}, fault.UnknownField, "username"},
		"given twice":            {row{"telegram_bot", nil, sealed("token", token, "key", token)}, fault.SecretInvalid, "twice"},
		"no host":                {row{"server", nil, sealed("ssh_key", key)}, fault.SecretMissing, "host"},
		"no way in":              {row{"server", nil, sealed("host", host)}, fault.SecretMissing, "ssh_key"},
		"host as a url":          {row{"server", nil, sealed("host", "ssh://canary.example", "ssh_key", key)}, fault.SecretInvalid, "URL"},
		"host with a port":       {row{"server", nil, sealed("host", "canary.example:22", "ssh_key", key)}, fault.SecretInvalid, "port"},
		"host with a user":       {row{"server", nil, sealed("host", "root@canary.example", "ssh_key", key)}, fault.SecretInvalid, "user"},
		"host, decimal":          {row{"server", nil, sealed("host", "3221225991", "ssh_key", key)}, fault.SecretInvalid, "host"},
		"host unspecified":       {row{"server", nil, sealed("host", "0.0.0.0", "ssh_key", key)}, fault.SecretInvalid, "host"},
		"user":                   {row{"server", attrs("user", "Root Canary"), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "user"},
		"port":                   {row{"server", attrs("port", "022"), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "65535"},
		"public key":             {row{"server", nil, sealed("host", host, "ssh_key", publicKey())}, fault.SecretInvalid, "public key"},
		"putty":                  {row{"server", nil, sealed("host", host, "ssh_key", "PuTTY-User-Key-File-3: ssh-ed25519\n")}, fault.SecretInvalid, "puttygen"},
		"encrypted pkcs8":        {row{"server", nil, sealed("host", host, "ssh_key", text(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))}, fault.SecretInvalid, "openssl"},
		"certificate":            {row{"server", nil, sealed("host", host, "ssh_key", text(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))}, fault.SecretInvalid, "private key"},
		"cut key":                {row{"server", nil, sealed("host", host, "ssh_key", key[:len(key)/2])}, fault.SecretInvalid, "copy"},
		"broken key":             {row{"server", nil, sealed("host", host, "ssh_key", text(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("openssh-key-v1\x00canary")}))}, fault.SecretInvalid, "copy"},
		"short rsa key":          {row{"server", nil, sealed("host", host, "ssh_key", weak)}, fault.SecretInvalid, "2048"},
		"two keys":               {row{"server", nil, sealed("host", host, "ssh_key", key+key)}, fault.SecretInvalid, "alone"},
		"locked, no passphrase":  {row{"server", nil, sealed("host", host, "ssh_key", lockedKey())}, fault.SecretMissing, "ssh_key_passphrase"},
		"wrong passphrase":       {row{"server", nil, sealed("host", host, "ssh_key", lockedKey(), "passphrase", "canary wrong")}, fault.SecretInvalid, "passphrase"},
		"passphrase alone":       {row{"server", nil, sealed("host", host, "password", "canary-pass", "passphrase", "canary")}, fault.SecretInvalid, "ssh_key"},
		"four billion rounds":    {row{"server", nil, sealed("host", host, "ssh_key", slow, "passphrase", passphrase)}, fault.SecretInvalid, "rounds"},
		"host key":               {row{"server", attrs("host_key", "ssh-ed25519 AAAAcanary"), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "host_key"},
		"host key of another":    {row{"server", attrs("host_key", strings.Replace(hostKey, "ssh-ed25519", "ssh-rsa", 1)), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "host_key"},
		"host key with a name":   {row{"server", attrs("host_key", "canary.example "+hostKey), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "without the host"},
		"private key as public":  {row{"server", attrs("host_key", key), sealed("host", host, "ssh_key", key)}, fault.InvalidArgument, "host_key"},
		"short password":         {row{"server", nil, sealed("host", host, "password", "canary7")}, fault.SecretInvalid, "8 bytes"},
		"unknown service":        {row{"api_key", attrs("service", "canary_service"), sealed("key", "canary-key-1")}, fault.UnknownService, "openai"},
		"no service":             {row{"api_key", nil, sealed("key", "canary-key-1")}, fault.InvalidArgument, "service=NAME"},
		"no hosts":               {row{"api_key", attrs("env", "ACME_KEY"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "hosts"},
		"no key":                 {row{"api_key", attrs("service", "openai"), nil}, fault.SecretMissing, "key"},
		"key with quotes":        {row{"api_key", attrs("service", "openai"), sealed("key", `"sk-canary0123456789"`)}, fault.SecretInvalid, "quotes"},
		"key of two lines":       {row{"api_key", attrs("service", "openai"), sealed("key", "sk-canary0\n123456789")}, fault.SecretInvalid, "one line"},
		"key not to be seen":     {row{"api_key", attrs("service", "openai"), sealed("key", "sk-canary0\u200b123456789")}, fault.SecretInvalid, "cannot be seen"},
		"sigv4":                  {row{"api_key", attrs("service", "aws"), sealed("key", "canary-key-1")}, fault.NotSupported, "SigV4"},
		"service account":        {row{"api_key", attrs("service", "google_service_account"), sealed("key", "canary-key-1")}, fault.NotSupported, "signs"},
		"oauth":                  {row{"api_key", attrs("service", "google_oauth"), sealed("key", "canary-key-1")}, fault.NotSupported, "body"},
		"no username":            {row{"api_key", attrs("service", "twilio"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "username"},
		"env reserved":           {row{"api_key", attrs("env", "LD_PRELOAD", "hosts", "a.example"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "env"},
		"hosts":                  {row{"api_key", attrs("env", "X_KEY", "hosts", "https://canary.example/"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "host[:port]"},
		"header of the frame":    {row{"api_key", attrs("env", "X_KEY", "hosts", "a.example", "header", "Host: {value}"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "header"},
		"header split":           {row{"api_key", attrs("env", "X_KEY", "hosts", "a.example", "header", "X: a\r\nY: {value}"), sealed("key", "canary-key-1")}, fault.InvalidArgument, "header"},
		"key in the header":      {row{"api_key", attrs("env", "X_KEY", "hosts", "a.example", "header", "X-Key: canary-key-1{value}"), sealed("key", "canary-key-1")}, fault.SecretInvalid, "header"},
		"zone":                   {row{"domain", attrs("zone", "canary"), sealed("token", "canary-key-1")}, fault.InvalidArgument, "zone"},
		"zone address":           {row{"domain", attrs("zone", "192.0.2.1"), sealed("token", "canary-key-1")}, fault.InvalidArgument, "zone"},
		"zone id":                {row{"domain", attrs("zone", "a.example", "zone_id", "canary"), sealed("token", "canary-key-1")}, fault.InvalidArgument, "zone_id"},
		"app without id":         {row{"github_app", nil, sealed("key", rsaPEM(t))}, fault.InvalidArgument, "app_id"},
		"app key of another":     {row{"github_app", attrs("app_id", "1"), sealed("key", pkcs8PEM(edKey()))}, fault.SecretInvalid, "RSA"},
		"app key encrypted":      {row{"github_app", attrs("app_id", "1"), sealed("key", legacyLocked())}, fault.SecretInvalid, "not encrypted"},
		"app key openssh":        {row{"github_app", attrs("app_id", "1"), sealed("key", key)}, fault.SecretInvalid, "RSA"},
		"database scheme":        {row{"database", nil, sealed("url", "oracle://u:canary-pw-1@h/db")}, fault.SecretInvalid, "postgres://"},
		"database without host":  {row{"database", nil, sealed("url", "postgres://u:canary-pw-1@/db")}, fault.SecretInvalid, "HOST"},
		"database open slash":    {row{"database", nil, sealed("url", "postgres://u:canary/pw-1@h/db")}, fault.SecretInvalid, "%2F"},
		"database open at":       {row{"database", nil, sealed("url", "postgres://u:canary@pw-1@h/db")}, fault.SecretInvalid, "%40"},
		"database open percent":  {row{"database", nil, sealed("url", "postgres://u:canary%zz@h/db")}, fault.SecretInvalid, "%40"},
		"database port":          {row{"database", nil, sealed("url", "postgres://u:canary-pw-1@h:99999/db")}, fault.SecretInvalid, "PORT"},
		"database weak":          {row{"database", nil, sealed("url", "postgres://u:canary@h/db")}, fault.SecretInvalid, "8 bytes"},
		"database query":         {row{"database", nil, sealed("url", "postgres://u@h/db?sslmode=require&passw%6Frd=canary-pw-1")}, fault.SecretInvalid, "before the host"},
		"database key password":  {row{"database", nil, sealed("url", "mongodb://u:canary-pw-1@h/db?tlsCertificateKeyFilePassword=canary-2")}, fault.SecretInvalid, "before the host"},
		"database user":          {row{"database", nil, sealed("url", "postgres://u%zz:canary-pw-1@h/db")}, fault.SecretInvalid, "%40"},
		"database name the same": {row{"database", attrs("env", "PATH"), sealed("url", "postgres://u:canary-pw-1@h/db")}, fault.InvalidArgument, "env"},
		"generic, nothing":       {row{"generic", nil, nil}, fault.SecretMissing, "value"},
		"generic, field name":    {row{"generic", nil, sealed("Canary-Field", "canary-value")}, fault.UnknownField, "value"},
		"generic, reserved":      {row{"generic", nil, sealed("path", "canary-value")}, fault.InvalidArgument, "env_path"},
		"generic, clash":         {row{"generic", attrs("env", "TOKEN"), sealed("value", "canary-value", "token", "canary-value-2")}, fault.InvalidArgument, "taken"},
		"generic, env of none":   {row{"generic", attrs("env_nope", "X"), sealed("value", "canary-value")}, fault.InvalidArgument, "env_nope"},
		"zero byte":              {row{"generic", nil, sealed("value", "canary\x00value")}, fault.SecretInvalid, "zero byte"},
		"escape":                 {row{"generic", nil, sealed("value", "canary\x1b[0mvalue")}, fault.SecretInvalid, "control"},
		"binary":                 {row{"generic", nil, sealed("value", "canary\xff\xfevalue")}, fault.SecretInvalid, "base64"},
		"too long":               {row{"generic", nil, sealed("value", strings.Repeat("canary-1", 8<<10)+"x")}, fault.SecretInvalid, "64 KiB"},
		"attribute too long":     {row{"api_key", attrs("hosts", strings.Repeat("canary.example,", 400)), nil}, fault.InvalidArgument, "hosts"},
	} {
		_, err := get(t, c.kind).Validate(c.attrs, c.secrets)
		if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %s with %q", name, err, c.code, c.says)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%s: the refusal holds a piece of the value: %v", name, err)
		}
	}
}

func mustDecode(s string) []byte {
	b, _ := pem.Decode([]byte(s))
	return b.Bytes
}

func TestMisplaced(t *testing.T) {
	for _, value := range []string{
		"-----BEGIN OPENSSH PRIVATE KEY-----", "x -----BEGIN RSA PRIVATE KEY----- y", token, "sk-proj-0123456789abcdefghij", "ghp_0123456789abcdefghij0123456789abcdef", "AKIAIOSFODNN7EXAMPLE",
		"xoxb-0123456789-abcdef", "glpat-0123456789abcdefghij", "postgres://u:pw@h/db", "AGE-SECRET-KEY-1QQQ", "zvh_agt_" + strings.Repeat("a", 59), "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0", "hf_0123456789abcdefghijkl",
	} {
		if _, yes := kind.LooksSecret("note: " + value); !yes {
			t.Errorf("%q is not known", value)
		}
	}
	for _, value := range []string{"", "@weather_bot", "OPENAI_API_KEY", "api.acme.example:8443 GET,POST /v1/*", "deploy", "https://docs.acme.example/a:b", hostKey, "Authorization: Bearer {value}", "12345:67"} {
		if what, yes := kind.LooksSecret(value); yes {
			t.Errorf("%q is taken for %s", value, what)
		}
	}
	k := get(t, "api_key")
	_, err := k.Validate(attrs("env", "canary_KEY_1", "hosts", "a.example"), sealed("key", "canary_KEY_1"))
	if fault.CodeOf(err) != fault.SecretInvalid || strings.Contains(err.Error(), "canary") {
		t.Errorf("a key in its own attribute: %v", err)
	}
}

func TestSteers(t *testing.T) {
	k := get(t, "api_key")
	if !k.Steers(attrs("hosts", "a.example"), attrs("hosts", "b.example")) || k.Steers(attrs("hosts", "a.example"), attrs("hosts", "a.example")) {
		t.Error("a change of hosts is not seen")
	}
	if get(t, "telegram_bot").Steers(attrs("username", "@a_bot"), attrs("username", "@b_bot")) {
		t.Error("a name steers")
	}
	for name, c := range map[string]struct {
		kind          string
		before, after map[string]string
	}{
		"by an alias":        {"server", attrs("user", "deploy"), attrs("user", "deploy", "ssh_user", "other")},
		"of one's own name":  {"generic", attrs("env_client_id", "A"), attrs("env_client_id", "B")},
		"that comes":         {"generic", attrs(), attrs("env_client_id", "B")},
		"that goes":          {"server", attrs("host_key", "k"), attrs()},
		"beside what stays":  {"server", attrs("user", "deploy", "port", "22"), attrs("user", "deploy", "port", "23")},
		"that goes, aliased": {"server", attrs("port", "22"), attrs("ssh_port", "")},
	} {
		if !get(t, c.kind).Steers(c.before, c.after) {
			t.Errorf("a change %s is not seen", name)
		}
	}
	if k := get(t, "server"); k.Steers(attrs("user", "deploy"), attrs("user", "deploy")) || k.Steers(attrs(), attrs("nothing", "x")) {
		t.Error("no change steers")
	}
}

// ours is the text of this package and of those that its refusals come from: what stands there is our own words, not the value's.
func ours(t testing.TB) string {
	var b strings.Builder
	for _, pattern := range []string{"*.go", "../policy/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal("the source is not here", err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	return b.String()
}

// FuzzValidate: no input makes a validator panic, no refusal holds eight bytes of it, and what is accepted is accepted again unchanged.
func FuzzValidate(f *testing.F) {
	var fields []struct{ kind, field string }
	for _, k := range kind.All() {
		for _, x := range k.Fields {
			fields = append(fields, struct{ kind, field string }{k.Name, x.Name})
		}
	}
	for i := range fields {
		for _, v := range []string{token, hostKey, "api.acme.example GET /v1/*", "postgres://u:canary-pw-1@h:1/db", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "X-Key: {value}", "[2001:db8::1]", ""} {
			f.Add(i, []byte(v))
		}
	}
	f.Add(3, []byte(ed25519Key(f)))
	own := ours(f)
	f.Fuzz(func(t *testing.T, i int, v []byte) {
		if i < 0 {
			i = -(i + 1)
		}
		x := fields[i%len(fields)]
		k := get(t, x.kind)
		in, hidden := map[string]string{}, sealed("host", "192.0.2.7", "password", "another-secret-1")
		if x.kind != "server" {
			hidden = sealed()
		}
		if field, _ := k.Lookup(x.field); field.Class.Sealed() {
			hidden[x.field] = secret.New(bytes.Clone(v))
		} else {
			in[x.field] = string(v)
		}
		n, err := k.Validate(in, hidden)
		if err == nil {
			again, err := k.Validate(n.Attrs, n.Secrets)
			if err != nil || !mapsEqual(again, n) {
				t.Fatalf("%s.%s: accepted, but not again unchanged: %v", x.kind, x.field, err)
			}
			return
		}
		said := err.Error()
		for j := 0; j+8 <= len(v); j++ {
			if piece := string(v[j : j+8]); strings.Contains(said, piece) && !strings.Contains(own, piece) {
				t.Fatalf("%s.%s: the refusal holds %q", x.kind, x.field, piece)
			}
		}
	})
}

func mapsEqual(a, b kind.Normalised) bool {
	if len(a.Attrs) != len(b.Attrs) || len(a.Secrets) != len(b.Secrets) {
		return false
	}
	for k, v := range a.Attrs {
		if b.Attrs[k] != v {
			return false
		}
	}
	for k, v := range a.Secrets {
		if !b.Secrets[k].Equal(v) {
			return false
		}
	}
	return true
}
