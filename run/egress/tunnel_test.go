package egress_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// passRig passes pass.test through to an upstream. What is passed through may reach public addresses only, so the tests stand one in for loopback.
func passRig(t *testing.T, addr string) (*upstream, *rig) {
	t.Helper()
	u := newUpstream(t, echo, "pass.test", "sub.pass.test")
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, PassThrough: []policy.HostRule{{Host: "pass.test", Port: u.port}, {Host: host, Port: u.port}}, Matcher: matcher(t, truth),
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(addr)}, nil
		}})
	return u, r
}

// TestPassThroughAddresses: tunnels are dialled under the strictest rule.
func TestAttack45_TunnelsReachPublicAddressesOnly(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254"} {
		u, r := passRig(t, a)
		if _, got := r.connectTo(t, fmt.Sprintf("pass.test:%d", u.port)); !contains(got, "403", "host_not_allowed") {
			t.Errorf("%s: %s", a, got)
		}
		if e := r.wait(t, 1)[0]; e.Decision != egress.Denied || e.Host != "pass.test" {
			t.Errorf("%+v", e)
		}
	}
}

// TestPassThrough: the host's own certificate arrives, nothing is swapped, and the bytes are counted.
func TestPassThrough(t *testing.T) {
	u, r := passRig(t, "127.0.0.1")
	egress.AllowLoopback(r.Proxy)
	for _, transparent := range []bool{false, true} {
		c := r.client(t, transparent, true)
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: u.roots}
		resp, b := get(t, c, "GET", fmt.Sprintf("https://pass.test:%d/x", u.port), "Authorization", "Bearer "+standIn)
		if resp.StatusCode != 200 || !strings.Contains(b, standIn) || u.last().Header.Get("Authorization") != "Bearer "+standIn {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
		// a host that a resource allows is intercepted, though it is named here too
		if resp, b := get(t, r.client(t, transparent, true), "GET", u.url("/x"), "Authorization", "Bearer "+standIn); resp.StatusCode != 200 || u.last().Header.Get("Authorization") != "Bearer "+truth || leaks(b) {
			t.Errorf("%d %s", resp.StatusCode, b)
		}
		c.CloseIdleConnections()
	}
	opened, passed := 0, 0
	for _, e := range r.wait(t, 6) {
		if e.Decision == egress.Passed {
			if e.Up+e.Down == 0 {
				opened++
				continue
			}
			passed++
			if e.Host != "pass.test" || e.Up < 200 || e.Down < 200 || e.Method+e.Path != "" || e.Credential {
				t.Errorf("%+v", e)
			}
		}
	}
	if passed != 2 || opened != 2 {
		t.Errorf("%d tunnels, %d opened", passed, opened)
	}
}

// TestAttack36_TunnelsAreHeldToTheirName: another name, none, or no TLS at all ends it before a byte reaches the host.
func TestAttack36_TunnelsAreHeldToTheirName(t *testing.T) {
	u, r := passRig(t, "127.0.0.1")
	egress.AllowLoopback(r.Proxy)
	at := fmt.Sprintf("pass.test:%d", u.port)
	for _, sni := range []string{"sub.pass.test", host, "evil.test", ""} {
		c, got := r.connectTo(t, at)
		if !strings.HasPrefix(got, "200") {
			t.Fatal(got)
		}
		if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni}).Handshake(); err == nil {
			t.Errorf("named %q", sni)
		}
	}
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: pass.test\r\n\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x05hello"} {
		c, _ := r.connectTo(t, at)
		_, _ = io.WriteString(c, text)
		_ = c.(*net.TCPConn).CloseWrite()
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%q: %q", text, b)
		}
	}
	c, err := net.Dial("tcp", r.transparent)
	if err != nil {
		t.Fatal(err)
	}
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "evil.test"}).Handshake(); err == nil {
		t.Error("the transparent entry leads to evil.test")
	}
	_ = c.Close()
	for _, e := range r.wait(t, 8) {
		if e.Decision != egress.Denied {
			t.Errorf("%+v", e)
		}
	}
	if u.count() != 0 {
		t.Error("a request arrived")
	}
}
