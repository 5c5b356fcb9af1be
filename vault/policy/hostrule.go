package policy

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Methods is what a rule that names none allows. TRACE and CONNECT are never allowed: the one echoes credentials, the other makes a tunnel.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Limits of a rule.
const (
	maxRules    = 64
	maxPatterns = 64
	maxPattern  = 512 // bytes
)

// hostSyntax is the next step of every refused rule.
const hostSyntax = "write host[:port] [METHOD,…] [/path…] [!/denied…], such as `api.acme.example:8443 GET,POST /v1/* !DELETE:/v1/keys/*`"

// ParseHostRule reads a rule as people write it: host[:port], then in any order methods ("GET,POST"), paths ("/v1/*"), denials ("!/admin",
// "!POST,PUT:/keys") and "+keys" (KeyEndpoints), apart by blanks. String is its inverse.
func ParseHostRule(text string) (HostRule, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return HostRule{}, badRule(errors.New("the rule is empty"))
	}
	r := HostRule{}
	var err error
	if r.Host, r.Port, err = splitPort(words[0]); err != nil {
		return HostRule{}, badRule(err)
	}
	for _, w := range words[1:] {
		switch {
		case w == "+keys":
			r.KeyEndpoints = true
		case w[0] == '/':
			r.Paths = append(r.Paths, w)
		case w[0] == '!':
			r.Deny = append(r.Deny, w[1:])
		case r.Methods == nil:
			r.Methods = strings.Split(strings.ToUpper(w), ",")
		default:
			return HostRule{}, badRule(errors.New("methods are named once, apart by commas"))
		}
	}
	if err := r.check(); err != nil {
		return HostRule{}, badRule(err)
	}
	return r, nil
}

// ParseHostRules reads several rules, apart by ";" or a line end; a piece that holds no blank is a list of hosts apart by commas.
func ParseHostRules(text string) ([]HostRule, error) {
	var rules []HostRule
	for _, piece := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		piece = strings.TrimSpace(piece)
		if piece == "" {
			continue
		}
		parts := []string{piece}
		if !strings.ContainsAny(piece, " \t") {
			parts = strings.Split(piece, ",")
		}
		for _, p := range parts {
			r, err := ParseHostRule(p)
			if err != nil {
				return nil, err
			}
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return nil, badRule(errors.New("the rule is empty"))
	}
	if len(rules) > maxRules {
		return nil, badRule(errors.New("there are too many hosts"))
	}
	return rules, nil
}

// FormatHostRules is the inverse of ParseHostRules.
func FormatHostRules(rules []HostRule) string {
	s := make([]string, len(rules))
	for i, r := range rules {
		s[i] = r.String()
	}
	return strings.Join(s, "; ")
}

// String writes the rule as ParseHostRule reads it.
func (r HostRule) String() string {
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if r.Port != 0 {
		host += ":" + strconv.Itoa(r.Port)
	}
	words := []string{host}
	if len(r.Methods) > 0 {
		words = append(words, strings.Join(r.Methods, ","))
	}
	words = append(words, r.Paths...)
	for _, d := range r.Deny {
		words = append(words, "!"+d)
	}
	if r.KeyEndpoints {
		words = append(words, "+keys")
	}
	return strings.Join(words, " ")
}

// port is the port that the rule means.
func (r HostRule) port() int {
	if r.Port == 0 {
		return 443
	}
	return r.Port
}

// methods is what the rule allows.
func (r HostRule) methods() []string {
	if len(r.Methods) == 0 {
		return Methods
	}
	return r.Methods
}

func badRule(why error) *fault.Error {
	return fault.New(fault.InvalidArgument, "a host rule is not valid: "+why.Error(), hostSyntax)
}

// splitPort reads host, host:port, [v6], [v6]:port or a bare v6 address.
func splitPort(s string) (string, int, error) {
	port := 0
	bare := strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[")
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !bare && !strings.HasSuffix(s, "]") {
		h, p, err := net.SplitHostPort(s)
		if err != nil {
			return "", 0, errHost
		}
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 || p != strconv.Itoa(port) {
			return "", 0, errors.New("a port is a number from 1 to 65535")
		}
		if s = h; strings.Contains(h, ":") {
			s = "[" + h + "]"
		}
	}
	h, err := canonicalPattern(strings.ToLower(s))
	return h, port, err
}

// check tells whether the rule is valid and in canonical form; its errors are our own words, without anything of the rule.
func (r HostRule) check() error {
	if h, err := canonicalPattern(r.Host); err != nil {
		return err
	} else if h != r.Host {
		return errors.New("a host is written in its canonical form, in lower case")
	}
	if r.Port < 0 || r.Port > 65535 {
		return errors.New("a port is a number from 1 to 65535")
	}
	if err := checkMethods(r.Methods); err != nil {
		return err
	}
	if len(r.Paths) > maxPatterns || len(r.Deny) > maxPatterns {
		return errors.New("it has too many paths")
	}
	for _, p := range r.Paths {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	for _, d := range r.Deny {
		methods, p := splitDenial(d)
		if err := errors.Join(checkMethods(methods), checkPattern(p)); err != nil {
			return errors.New("a denial is a path, or methods, a colon and a path")
		}
	}
	return nil
}

func checkMethods(methods []string) error {
	for i, m := range methods {
		if !slices.Contains(Methods, m) || slices.Contains(methods[:i], m) {
			return errors.New("the methods are " + strings.Join(Methods, ", ") + ", each once, in capitals")
		}
	}
	return nil
}

// checkPattern accepts a path that is its own normal form, with "*" as a whole segment.
func checkPattern(p string) error {
	if len(p) > maxPattern || !unambiguous(p) || strings.ContainsFunc(p, unicode.IsSpace) {
		return errors.New("a path begins with `/`, is decoded, and has no dot segments, `//`, `?`, `#`, `;`, `%` or blanks")
	}
	for _, s := range strings.Split(p[1:], "/") {
		if s != "*" && strings.Contains(s, "*") {
			return errors.New("in a path, `*` stands for one whole segment, or for all that follows at the end")
		}
	}
	return nil
}

// splitDenial parts "POST,PUT:/path"; no methods means all.
func splitDenial(d string) ([]string, string) {
	if strings.HasPrefix(d, "/") {
		return nil, d
	}
	methods, p, _ := strings.Cut(d, ":")
	return strings.Split(methods, ","), p
}
