package egress_test

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestEnvironment(t *testing.T) {
	env := egress.Environment("http://127.0.0.1:3128", "/home/x/ca.pem")
	seen := map[string]string{}
	for _, kv := range env {
		name, v, ok := strings.Cut(kv, "=")
		if _, twice := seen[name]; twice || !ok || v == "" {
			t.Errorf("%s", kv)
		}
		seen[name] = v
		if !egress.Steers(name) || !egress.Steers(strings.ToLower(name)) {
			t.Errorf("a caller may set %s", name)
		}
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		if seen[name] != "http://127.0.0.1:3128" {
			t.Errorf("%s=%s", name, seen[name])
		}
	}
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "DENO_CERT"} {
		if seen[name] != "/home/x/ca.pem" {
			t.Errorf("%s=%s", name, seen[name])
		}
	}
	for _, name := range []string{"NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "SSL_CERT_DIR", "no_proxy", "PYTHONHTTPSVERIFY"} {
		if !egress.Steers(name) {
			t.Errorf("a caller may set %s", name)
		}
	}
	if egress.Steers("PATH") || egress.Steers("OPENAI_API_KEY") {
		t.Error("a caller may set nothing")
	}
}

func TestBundle(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	b, err := egress.Bundle(r.CA())
	if err != nil || !bytes.HasPrefix(b, r.CA()) {
		t.Fatal(err)
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(b) {
		t.Error("nothing in it can be read")
	}
	for _, path := range egress.SystemBundles() {
		if s, err := os.Stat(path); err != nil || !s.Mode().IsRegular() {
			t.Errorf("%s: %v", path, err)
		} else if len(b) <= len(r.CA())+1 {
			t.Error("the system's roots are not in it")
		}
	}
	if _, err := egress.Bundle([]byte("no certificate")); err == nil {
		t.Error("anything is an authority")
	}
}

func TestNamesAndPorts(t *testing.T) {
	p, err := egress.New(egress.Options{Record: func(egress.Event) error { return nil }, Resources: []egress.Resource{{Handle: "a", Rules: []policy.HostRule{{Host: "b.test"}, {Host: "*.w.test"}, {Host: "10.0.0.5", Port: 8443}}}, {Handle: "b", Rules: []policy.HostRule{{Host: "b.test"}}}},
		PassThrough: []policy.HostRule{{Host: "a.test", Port: 5000}}, Now: func() time.Time { return time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if !slices.Equal(p.Names(), []string{"a.test", "b.test"}) || !slices.Equal(p.Ports(), []int{443, 5000, 8443}) {
		t.Errorf("%v %v", p.Names(), p.Ports())
	}
}

// TestAttack54_AddressesThatAreNotPublic names them one by one: a table that is wrong by one bit is a hole.
func TestAttack54_AddressesThatAreNotPublic(t *testing.T) {
	for text, want := range map[string]struct{ public, private bool }{
		"8.8.8.8": {true, true}, "1.1.1.1": {true, true}, "2606:4700::1111": {true, true}, "2001:4860:4860::8888": {true, true}, "172.15.255.255": {true, true}, "172.32.0.0": {true, true}, "100.63.255.255": {true, true},
		"100.128.0.0": {true, true}, "9.255.255.255": {true, true}, "11.0.0.0": {true, true}, "192.167.255.255": {true, true}, "223.255.255.255": {true, true}, "2001:200::1": {true, true}, "2003::1": {true, true},
		"10.0.0.1": {false, true}, "172.16.0.1": {false, true}, "172.31.255.255": {false, true}, "192.168.0.1": {false, true}, "127.0.0.1": {false, true}, "127.255.255.254": {false, true}, "::1": {false, true}, "fc00::1": {false, true}, "fd12::1": {false, true}, "100.64.0.1": {false, true},
		"0.0.0.0": {}, "0.1.2.3": {}, "::": {}, "169.254.169.254": {}, "169.254.0.1": {}, "fe80::1": {}, "febf::1": {}, "fec0::1": {}, "100.100.100.200": {}, "fd00:ec2::254": {}, "168.63.129.16": {}, "192.0.0.192": {},
		"::ffff:8.8.8.8": {}, "::ffff:127.0.0.1": {}, "::127.0.0.1": {}, "64:ff9b::8.8.8.8": {}, "64:ff9b:1::1": {}, "2002:7f00:1::1": {}, "2001::1": {}, "2001:2::1": {}, "2001:db8::1": {}, "3fff::1": {}, "5f00::1": {}, "100::1": {},
		"224.0.0.1": {}, "239.255.255.255": {}, "240.0.0.1": {}, "255.255.255.255": {}, "ff02::1": {}, "192.0.2.1": {}, "198.18.0.1": {}, "198.51.100.1": {}, "203.0.113.1": {}, "192.88.99.1": {}, "fe80::1%eth0": {},
	} {
		a := netip.MustParseAddr(text)
		if egress.Dialable(a, false) != want.public || egress.Dialable(a, true) != want.private {
			t.Errorf("%s: %t and %t where private ones are allowed", text, egress.Dialable(a, false), egress.Dialable(a, true))
		}
	}
	if egress.Dialable(netip.Addr{}, true) {
		t.Error("the zero address")
	}
}
