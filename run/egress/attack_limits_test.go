package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

type ctx = context.Context

// constrained: the certificate says by itself what it is good for, and its key cannot be had.
func constrained(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource("*.wild.test"), {Handle: "ip", Rules: []policy.HostRule{{Host: "192.0.2.7"}}}}, PassThrough: []policy.HostRule{{Host: "pass.test"}}})
	b, rest := pem.Decode(r.CA())
	if len(strings.TrimSpace(string(rest))) > 0 || b.Type != "CERTIFICATE" {
		t.Fatal("more than one certificate")
	}
	ca, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.PermittedDNSDomainsCritical || strings.Join(ca.PermittedDNSDomains, " ") != "wild.test api.test" || len(ca.PermittedIPRanges) != 1 || !ca.MaxPathLenZero || !ca.IsCA {
		t.Errorf("constraints: %v %v", ca.PermittedDNSDomains, ca.PermittedIPRanges)
	}
	if life := time.Until(ca.NotAfter); life > 24*time.Hour || life < 23*time.Hour {
		t.Errorf("it lives for %s yet", life)
	}
	c, _ := r.connectTo(t, fmt.Sprintf("%s:%d", host, u.port))
	tc := tls.Client(c, &tls.Config{RootCAs: r.trust, ServerName: host})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	leaf := tc.ConnectionState().PeerCertificates[0]
	if leaf.IsCA || leaf.NotAfter.After(ca.NotAfter) || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != host || leaf.NotAfter.Sub(leaf.NotBefore) > 24*time.Hour {
		t.Errorf("leaf: %v until %s", leaf.DNSNames, leaf.NotAfter)
	}
	// OpenSSL agrees, strictly; and an authority without addresses excludes all of them
	plain := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	leafFile := file("leaf.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", file("ca.pem", r.CA()), leafFile).CombinedOutput()
	if err != nil {
		t.Errorf("openssl: %s", out)
	}
	pb, _ := pem.Decode(plain.CA())
	pca, err := x509.ParseCertificate(pb.Bytes)
	if err != nil || len(pca.ExcludedIPRanges) != 2 {
		t.Errorf("addresses are not excluded: %v %v", pca.ExcludedIPRanges, err)
	}
	other := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	if string(other.CA()) == string(plain.CA()) {
		t.Error("two runs share an authority")
	}
}

// exhaustion: limits of what one run may hold open or send.
func exhaustion(t *testing.T) {
	u := newUpstream(t, echo)
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, MaxConns: 8})
	at := fmt.Sprintf("%s:%d", host, u.port)
	if got := r.raw(t, u, "GET /x HTTP/1.1\r\nHost: "+at+"\r\nX-Big: "+strings.Repeat("a", 128<<10)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("a header of 128 KiB: %.80s", got)
	}
	c, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "CONNECT "+at+" HTTP/1.1\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	if got := answer(t, c); strings.HasPrefix(got, "200") {
		t.Errorf("a CONNECT of 64 KiB: %s", got)
	}
	_ = c.Close()
	var held []net.Conn
	for range 20 { // half-open ones
		c, err := net.Dial("tcp", r.proxy)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	gone := make(chan struct{}, len(held))
	for _, c := range held {
		go func() {
			_, _ = io.Copy(io.Discard, c) // to its end: what is said is no end
			gone <- struct{}{}
		}()
	}
	late := time.After(20 * time.Second)
	for closed := range 12 {
		select {
		case <-gone:
		case <-late:
			t.Fatalf("%d of 20 connections were turned away, at a limit of 8", closed)
		}
	}
	for _, c := range held {
		_ = c.Close()
	}
	for range len(held) - 12 {
		<-gone
	}
	for range 100 { // they are free again
		if _, got := r.connectTo(t, at); strings.HasPrefix(got, "200") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("no connection is free after all were closed")
}

// TestNewRefuses: what would be ambiguous later is refused at once.
func TestNewRefuses(t *testing.T) {
	ok := egress.Swap{Placeholder: standIn, Header: "Authorization", Template: "Bearer {value}", Value: value(truth)}
	change := func(f func(*egress.Swap)) []egress.Resource {
		s := ok
		f(&s)
		return []egress.Resource{{Handle: "a", Swaps: []egress.Swap{s}}}
	}
	record := func(egress.Event) error { return nil }
	for name, o := range map[string]egress.Options{
		"no record":          {Resources: change(func(*egress.Swap) {})},
		"short placeholder":  {Record: record, Resources: change(func(s *egress.Swap) { s.Placeholder = "short" })},
		"no value":           {Record: record, Resources: change(func(s *egress.Swap) { s.Value = nil })},
		"no place":           {Record: record, Resources: change(func(s *egress.Swap) { s.Header = "" })},
		"two places":         {Record: record, Resources: change(func(s *egress.Swap) { s.Path = "/x{value}" })},
		"no blank":           {Record: record, Resources: change(func(s *egress.Swap) { s.Template = "Bearer" })},
		"two blanks":         {Record: record, Resources: change(func(s *egress.Swap) { s.Template = "{value}{value}" })},
		"basic without half": {Record: record, Resources: change(func(s *egress.Swap) { s.Basic, s.Template = true, "{value}" })},
		"the same twice":     {Record: record, Resources: append(change(func(*egress.Swap) {}), egress.Resource{Handle: "b", Swaps: []egress.Swap{ok}})},
		"one in the other":   {Record: record, Resources: append(change(func(*egress.Swap) {}), change(func(s *egress.Swap) { s.Placeholder += "x" })...)},
	} {
		if p, err := egress.New(o); err == nil {
			t.Errorf("%s is accepted", name)
			_ = p.Close()
		}
	}
	_ = netip.Addr{}
}
