package egress

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// A run of days keeps its TLS: the authority holds for the run's life, and each certificate is short and made anew before it ends.
func TestCertificatesOfALongRun(t *testing.T) {
	now := time.Now()
	clock := now
	const host = "api.test"
	p, err := New(Options{RunID: "run_x", Resources: []Resource{{Handle: "a", Rules: []policy.HostRule{{Host: host}}}}, Record: func(Event) error { return nil }, Life: 72 * time.Hour,
		Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA())
	made := map[string]bool{}
	for ; clock.Before(now.Add(72 * time.Hour)); clock = clock.Add(20 * time.Minute) {
		c, err := p.authority.certificate(host, p.o.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: clock}); err != nil {
			t.Fatalf("after %v: %v", clock.Sub(now), err)
		}
		if d := c.Leaf.NotAfter.Sub(clock); d > 24*time.Hour-skew {
			t.Fatalf("a certificate holds for %v", d)
		}
		made[c.Leaf.SerialNumber.String()] = true
	}
	if len(made) < 3 || len(made) > 5 {
		t.Errorf("%d certificates in three days", len(made))
	}
}

func TestLifeOfAnAuthority(t *testing.T) {
	now := time.Now()
	for life, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, -1: 24 * time.Hour, time.Hour: time.Hour, 48 * time.Hour: 48 * time.Hour, 1000 * time.Hour: 30 * 24 * time.Hour} {
		a, err := newAuthority(nil, now, life)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(a.pem)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if d := c.NotAfter.Sub(now); d > want || d < want-time.Second {
			t.Errorf("%v: it holds for %v", life, d)
		}
	}
}
