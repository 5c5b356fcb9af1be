package egress

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// overriding are headers, in lower case and with "-" for "_", that make a server look at another method, path or host than those of the request line.
var overriding = map[string]bool{
	"x-http-method-override": true, "x-http-method": true, "x-method-override": true, "x-method": true, "http-method-override": true,
	"x-original-url": true, "x-rewrite-url": true, "x-original-uri": true, "x-forwarded-uri": true, "x-forwarded-path": true, "x-forwarded-prefix": true, "x-override-url": true,
	"x-envoy-original-path": true, "x-original-host": true, "x-forwarded-host": true, "x-forwarded-server": true, "x-host": true, "x-http-host-override": true, "x-proxy-url": true,
	"x-original-method": true, "x-forwarded-method": true, "x-rewrite-method": true, "x-request-method": true, "x-original-path": true,
	"x-rewrite-path": true, "x-rewrite-uri": true, "x-forwarded-url": true, "x-request-uri": true, "x-envoy-original-host": true, "x-envoy-original-method": true, "x-http-host": true, "x-http-path-override": true,
}

// overridingFields are parameters, of a query or a form, that do the same to the method.
var overridingFields = map[string]bool{"_method": true, "x-http-method-override": true, "x-http-method": true, "x-method-override": true, "_httpmethod": true, "$httpmethod": true, "_http_method": true}

var (
	refusedOverride = refuse(http.StatusForbidden, fault.RequestNotAllowed, "a header or parameter that overrides the method, the path or the host is not let through",
		"make the request itself with the method and path that you mean")
	refusedFormPacked = refuse(http.StatusForbidden, fault.RequestNotAllowed, "a form that is compressed, or whose type cannot be read, could name another method than its request, and this resource allows methods one by one",
		"send the form as it is, with one plain Content-Type")
)

func overrides(h http.Header) bool {
	for name, values := range h {
		if c := name[0] | 0x20; (c == 'x' || c == 'h') && overriding[strings.ReplaceAll(strings.ToLower(name), "_", "-")] {
			return true
		}
		if strings.EqualFold(name, "Forwarded") && slices.ContainsFunc(values, forwardsHost) {
			return true
		}
	}
	return false
}

// forwardsHost finds "host=" in a Forwarded (RFC 7239), however it is written; in a quoted text too, where it is nobody's need.
func forwardsHost(value string) bool {
	plain := strings.NewReplacer(" ", "", "\t", "").Replace(strings.ToLower(value))
	return strings.Contains(plain, "host=")
}

func overridesByQuery(query string) bool {
	if len(query) < 2 {
		return false
	}
	for part := range strings.FieldsFuncSeq(query[1:], func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(part, "=")
		if overridesAs(unescaped(name)) {
			return true
		}
	}
	return false
}

// leftOut is what servers leave out before a field's name: PHP blanks, Rack and qs brackets.
const leftOut = " \t\r\n\v\f\x00[]"

// spelled is what PHP makes of a name; "[" where nothing closes it.
var spelled = strings.NewReplacer(".", "_", " ", "_", "[", "_")

// overridesAs tells whether a field's name, decoded, is one that overrides the method to some server: they leave out blanks and brackets before it and what follows a
// zero byte or a bracket, and take "." and " " for "_".
func overridesAs(name string) bool {
	name = strings.ToLower(strings.TrimLeft(name, leftOut))
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.TrimRight(name, " \t\r\n\v\f")
	if overridingFields[spelled.Replace(name)] {
		return true
	}
	if i := strings.IndexAny(name, "[]"); i >= 0 {
		name = strings.TrimRight(name[:i], " \t\r\n\v\f")
	}
	return overridingFields[name] || overridingFields[spelled.Replace(name)]
}

// unescaped decodes what can be decoded of a form's text, as lenient servers do.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		case i+5 < len(s) && strings.EqualFold(s[i:i+4], "%u00") && isHex(s[i+4]) && isHex(s[i+5]): // IIS
			out = append(out, unhex(s[i+4])<<4|unhex(s[i+5]))
			i += 5
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// byMethod tells whether what the resource allows on a host depends on the method: then a body that names another is looked for.
func (r *resource) byMethod(t target) bool {
	for _, rules := range [][]policy.HostRule{r.Rules, r.Mints} {
		for _, rule := range rules {
			if policy.Reaches([]policy.HostRule{rule}, t.host, t.port) && (len(rule.Methods) > 0 || slices.ContainsFunc(rule.Deny, func(d string) bool { return !strings.HasPrefix(d, "/") })) {
				return true
			}
		}
	}
	return false
}
