package run

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// destination is where a request goes.
type destination struct {
	host     string // canonical
	port     int
	path     string // as written, encoded
	query    string // with its "?"
	normal   string // path as rules compare it; "" where it can be read in two ways
	explicit bool   // an absolute address was given
}

// destinationOf reads an absolute address, or a path at the resource's first host that has one name.
func destinationOf(text, handle string, rules []policy.HostRule) (d destination, err error) {
	bad := func(why, next string) error {
		return fault.New(fault.InvalidArgument, "the url is not valid: "+why, next)
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(text, "#") {
		return d, bad("it is a path with its query, or an absolute https address without user and fragment", "write /v1/models?limit=5, or https://HOST/v1/models?limit=5")
	}
	d.path, d.explicit = u.EscapedPath(), u.Scheme != ""
	if u.RawQuery != "" || u.ForceQuery {
		d.query = "?" + u.RawQuery
	}
	switch {
	case !d.explicit && (u.Host != "" || !strings.HasPrefix(text, "/")):
		return d, bad("a path begins with one `/`", "write /v1/models, or https://HOST/v1/models")
	case d.explicit && u.Scheme != "https":
		return d, fault.New(fault.HTTPSRequired, "requests are made by https only", "write https:// in the address")
	case !d.explicit:
		at := slices.IndexFunc(rules, func(r policy.HostRule) bool { return !strings.HasPrefix(r.Host, "*.") })
		if at < 0 {
			return d, bad("the hosts of "+handle+" have no one name, so a path alone leads nowhere", "give the whole address; it allows "+hostList(rules))
		}
		d.host, d.port = rules[at].Host, rules[at].EffectivePort()
	default:
		if d.host, d.port, err = authority(u); err != nil {
			return d, bad("its host or port cannot be read", "write https://HOST/path")
		}
		if !policy.Reaches(rules, d.host, d.port) {
			return d, fault.New(fault.HostNotAllowed, "the credential of "+handle+" does not go to this host", "it goes to "+hostList(rules))
		}
	}
	if d.path == "" {
		d.path = "/"
	}
	if d.normal, err = policy.NormalPath(d.path); err != nil {
		return d, bad("its path can be read in more than one way", "write it without dot segments, doubled or encoded slashes, backslashes, semicolons and encoded percent signs")
	}
	return d, nil
}

func authority(u *url.URL) (host string, port int, err error) {
	if host, err = policy.CanonicalHost(u.Hostname()); err != nil {
		return "", 0, err
	}
	port = 443
	if p := u.Port(); p != "" {
		port, err = strconv.Atoi(p)
	}
	return host, port, err
}

// hostList names the hosts of rules, for a next step.
func hostList(rules []policy.HostRule) string {
	var all []string
	for _, r := range rules {
		if name := (policy.HostRule{Host: r.Host, Port: r.Port}).String(); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(all) > 12 {
		all = append(all[:12], "…")
	}
	if len(all) == 0 {
		return "no host"
	}
	return strings.Join(all, ", ")
}

func (d destination) origin() string {
	if d.port == 443 {
		if strings.Contains(d.host, ":") {
			return "https://[" + d.host + "]"
		}
		return "https://" + d.host
	}
	return "https://" + net.JoinHostPort(d.host, strconv.Itoa(d.port))
}

func (d destination) url() string { return d.origin() + d.path + d.query }

// shown is the address as it is recorded: a query may hold anything.
func (d destination) shown() string { return d.origin() + d.path }

// mayAsk are the headers that a caller may set: what is asked for and how the body is to be read. Who asks, by which connection and for which other host or
// path are not the caller's to say.
var mayAsk = map[string]bool{
	"Accept": true, "Accept-Language": true, "Content-Type": true, "Content-Language": true, "Content-Md5": true, "Cache-Control": true, "Pragma": true, "Prefer": true, "Range": true, "If-Range": true,
	"If-Match": true, "If-None-Match": true, "If-Modified-Since": true, "If-Unmodified-Since": true, "User-Agent": true, "Idempotency-Key": true, "X-Request-Id": true, "X-Correlation-Id": true,
	"X-Idempotency-Key": true, "Openai-Organization": true, "Openai-Project": true, "Openai-Beta": true, "Anthropic-Beta": true, "Http-Referer": true, "X-Title": true, "X-Atlassian-Token": true,
	"X-Requested-With": true, "Stripe-Account": true, "Depth": true, "Notion-Version": true, "Dd-Site": true,
}

// checkHeader refuses a header that is not the caller's to set. The refusal names it only where it has the shape of a name.
func checkHeader(name, value string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if !mayAsk[canonical] && !(strings.HasSuffix(canonical, "-Version") && len(canonical) <= 40 && headerShape(canonical)) {
		return headerRefused(canonical)
	}
	if len(value) > maxHeaderValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return fault.Newf(fault.InvalidArgument, "the value of header %s is longer than %d bytes, or not printable ASCII", canonical, maxHeaderValue)
	}
	return nil
}

func headerShape(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func headerRefused(name string) error {
	what := "one of these headers"
	if len(name) <= 40 && headerShape(name) {
		what = "the header " + textproto.CanonicalMIMEHeaderKey(name)
	}
	return fault.New(fault.InvalidArgument, what+" is not the caller's to set: zavhoz puts the credential in, and the connection is its own",
		"leave it out; Accept, Content-Type, If-…, Prefer, Range, Idempotency-Key and version headers may be set")
}

// outgoing fills in the header. A body that is JSON says so by itself.
func outgoing(req *http.Request, r HTTPRequest) {
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	if len(r.Body) > 0 && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "text/plain; charset=utf-8")
		if json.Valid(r.Body) {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "zavhoz")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "*/*")
	}
}

// nothingOurs refuses a request that carries a secret of the vault: it belongs where zavhoz puts it, and nowhere else. A hit is counted as one in output is: it
// would tell a guess right (threat-model.md 60).
func (m *mask) nothingOurs(ctx context.Context, r HTTPRequest) error {
	texts := [][]byte{r.Body, []byte(r.URL)}
	for name, value := range r.Headers {
		texts = append(texts, []byte(name+": "+value))
	}
	for _, known := range m.matchers(ctx) {
		for _, text := range texts {
			if len(text) == 0 {
				continue
			}
			out, found := known.Mask(text)
			if clear(out); found.Redactions == 0 && out != nil {
				continue
			}
			_ = m.spend(max(1, found.Redactions))
			return fault.New(fault.RequestNotAllowed, "the request holds a secret of the vault, where none belongs", "leave it out: zavhoz puts the credential of the resource in by itself")
		}
	}
	return nil
}

// mayAnswer are the headers of a reply that a caller is told.
var mayAnswer = []string{"Allow", "Content-Disposition", "Content-Language", "Content-Length", "Content-Range", "Content-Type", "Etag", "Last-Modified", "Link", "Location", "Ratelimit", "Ratelimit-Limit",
	"Ratelimit-Policy", "Ratelimit-Remaining", "Ratelimit-Reset", "Request-Id", "Retry-After", "Sunset", "Deprecation", "Warning", "X-Next-Page", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
	"X-Request-Id", "X-Total", "X-Total-Count", "X-Total-Pages"}

// headers gives those of a reply that may be told, redacted and cut.
func (m *mask) headers(ctx context.Context, h http.Header) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range mayAnswer {
		value := strings.Join(h.Values(name), ", ")
		if value == "" {
			continue
		}
		if name == "Location" {
			value = toldOfLocation(value)
		}
		text, err := m.line(ctx, value)
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

// toldOfLocation is what stands before the query and the fragment: codes, signatures and tokens travel there.
func toldOfLocation(value string) string {
	if i := strings.IndexAny(value, "?#"); i >= 0 {
		return value[:i+1] + "…"
	}
	return value
}

// line redacts one short text as output is.
func (m *mask) line(ctx context.Context, text string) (string, error) {
	var b lines
	w := m.to(ctx, &b)
	if _, err := w.Write([]byte(text)); err != nil {
		return "", fault.New(fault.OutputWithheld, "the reply cannot be searched for secrets now, so it is not shown", "try again").Because(err)
	}
	if err := w.Close(); err != nil {
		return "", fault.New(fault.OutputWithheld, "the reply cannot be searched for secrets now, so it is not shown", "try again").Because(err)
	}
	clean := string(redact.Clean(b))
	if len(clean) > maxHeaderValue {
		clean = clean[:whole([]byte(clean[:maxHeaderValue]))] + "…"
	}
	return clean, nil
}

type lines []byte

func (b *lines) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
