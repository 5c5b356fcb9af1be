package redact

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// webSecrets are logins as the web carries them: passwords in URLs, login headers, web tokens, what Docker keeps.
//
// Shapes: RFC 3986 §3.2.1 (userinfo), RFC 9110 §11.6.2 (Authorization), RFC 7519 and 7516 (JWT, JWE), docs.docker.com "docker login" (auths), crypt(5).
func webSecrets() []foreignRule {
	return []foreignRule{
		{name: "a-url-password", literal: "://", find: urlPassword},
		{name: "a-login-header", literal: "authorization", find: authorization},
		{name: "a-login-header", literal: "Authorization", find: authorization},
		{name: "a-login-header", literal: "AUTHORIZATION", find: authorization},
		header("x-api-key"), header("X-Api-Key"), header("X-API-Key"), header("X-API-KEY"),
		header("x-auth-token"), header("X-Auth-Token"),
		header("x-vault-token"), header("X-Vault-Token"),
		header("private-token"), header("Private-Token"), header("PRIVATE-TOKEN"),
		{name: "a-json-web-token", literal: "eyJ", word: true, find: webToken},
		{name: "a-docker-login", literal: `"auth"`, find: dockerLogin},
		token("a-password-hash", "$2a$", classOf("A-Za-z0-9./$"), 50),
		token("a-password-hash", "$2b$", classOf("A-Za-z0-9./$"), 50),
		token("a-password-hash", "$2y$", classOf("A-Za-z0-9./$"), 50),
		token("a-password-hash", "$5$", classOf("A-Za-z0-9./$="), 40),
		token("a-password-hash", "$6$", classOf("A-Za-z0-9./$="), 60),
		token("a-password-hash", "$y$", classOf("A-Za-z0-9./$="), 40),
		token("a-password-hash", "$argon2", classOf("A-Za-z0-9./$=,+"), 40),
	}
}

// Bounds of a userinfo, in bytes.
const (
	maxUser     = 128
	maxPassword = 256
)

var (
	schemes  = classOf("A-Za-z0-9+.-")
	userinfo = func() *class { // everything but what ends a userinfo or a word
		c := new(class)
		for i := 0x21; i < 0x100; i++ {
			c[i] = i != 0x7f && strings.IndexByte("/?#\"'<>`\\", byte(i)) < 0
		}
		return c
	}()
)

// urlPassword is what stands between the first colon and the last at sign of scheme://user:password@host.
func urlPassword(b []byte, at int, final bool) (finding, verdict) {
	if at == 0 || !schemes[b[at-1]] {
		return finding{}, no
	}
	from := at + len("://")
	end := min(len(b), from+maxUser+maxPassword)
	hi := userinfo.run(b[:end], from)
	colon := bytes.IndexByte(b[from:hi], ':')
	if hi == len(b) && !final && hi < from+maxUser+maxPassword && (colon >= 0 || hi-from < maxUser) {
		return finding{}, unsure
	}
	if colon < 0 || colon > maxUser {
		return finding{}, no
	}
	from += colon + 1
	last := bytes.LastIndexByte(b[from:hi], '@')
	if last < 1 || plainValue(b[from:from+last]) {
		return finding{}, no
	}
	return finding{lo: from, hi: from + last}, yes
}

// loginSchemes stand before the value of an Authorization header.
var loginSchemes = []string{"basic", "bearer", "token", "bot", "apikey", "api-key", "negotiate", "oauth", "key", "ssws", "splunk", "jwt"}

// loginValue is what credentials of a header are written in (token68 of RFC 9110, and a colon).
var loginValue = classOf("A-Za-z0-9._~+/=:|-")

// authorization is the value of an Authorization or Proxy-Authorization header, in a request, in JSON or in code.
func authorization(b []byte, at int, final bool) (finding, verdict) {
	at, v := value(b, at+len("authorization"), final)
	if v != yes {
		return finding{}, v
	}
	hi := loginValue.run(b, at)
	if hi == len(b) && !final && hi-at <= nameGap {
		return finding{}, unsure
	}
	for _, s := range loginSchemes {
		if hi-at != len(s) || !strings.EqualFold(string(b[at:hi]), s) {
			continue
		}
		for at = hi; at < len(b) && at-hi < nameGap && (b[at] == ' ' || b[at] == '\t'); at++ {
		}
		if at == len(b) && !final {
			return finding{}, unsure
		}
		if at == hi {
			return finding{}, no
		}
		return tokenAt(b, at, at, loginValue, 8, 0, final)
	}
	return tokenAt(b, at, at, loginValue, 16, 1, final)
}

// header is the value of a header that carries a key alone.
func header(name string) foreignRule {
	return foreignRule{name: "a-login-header", literal: name, find: func(b []byte, at int, final bool) (finding, verdict) {
		at, v := value(b, at+len(name), final)
		if v != yes {
			return finding{}, v
		}
		return tokenAt(b, at, at, loginValue, 16, 1, final)
	}}
}

// maxJOSE bounds the first part of a web token, in bytes.
const maxJOSE = 2 << 10

// webToken is a base64url of `{"…`, a point, and more: with the signature or without.
func webToken(b []byte, at int, final bool) (finding, verdict) {
	point := urlSafe.run(b[:min(len(b), at+maxJOSE)], at)
	switch {
	case point == len(b) && !final && point-at < maxJOSE:
		return finding{}, unsure
	case point == len(b) || b[point] != '.' || point-at < 13:
		return finding{}, no
	}
	if f, v := tokenAt(b, at, point+1, urlSafe, 10, 0, final); v != yes {
		return f, v
	}
	return tokenAt(b, at, point+1, dotted, 10, 0, final)
}

// maxLogin bounds a Docker login, in bytes.
const maxLogin = 8 << 10

// dockerLogin is the base64 of user:password behind "auth" in Docker's config.json.
func dockerLogin(b []byte, at int, final bool) (finding, verdict) {
	at, v := value(b, at+len(`"auth"`), final)
	if v != yes {
		return finding{}, v
	}
	hi := base64ed.run(b[:min(len(b), at+maxLogin)], at)
	if hi == len(b) && !final && hi-at < maxLogin {
		return finding{}, unsure
	}
	login, err := base64.StdEncoding.DecodeString(string(b[at:hi]))
	if err != nil || bytes.IndexByte(login, ':') < 1 {
		return finding{}, no
	}
	return finding{lo: at, hi: hi}, yes
}

// plainValue tells what stands for a secret: a marker of ours, stars, a variable, a word for it.
func plainValue(v []byte) bool {
	s := string(v)
	switch strings.ToLower(s) {
	case "password", "passwd", "pass", "pwd", "pw", "secret", "token", "your-password", "your_password", "yourpassword":
		return true
	}
	if s == "[redacted]" || strings.HasPrefix(s, "[redacted:") && strings.IndexByte(s, ']') == len(s)-1 {
		return true
	}
	if strings.Trim(s, "*") == "" || strings.Trim(s, "x") == "" || strings.Trim(s, ".") == "" {
		return true
	}
	for _, q := range [][2]string{{"${", "}"}, {"{{", "}}"}, {"$(", ")"}, {"{", "}"}} {
		if strings.HasPrefix(s, q[0]) && strings.HasSuffix(s, q[1]) {
			return true
		}
	}
	name, isVar := strings.CutPrefix(s, "$")
	return isVar && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}
