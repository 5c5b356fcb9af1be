package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// How long things hold. The authority holds for what the run may last, for a client reads it once, when it starts. A certificate is short, and made anew before
// it ends.
const (
	defaultLife = 24 * time.Hour
	maxLife     = 30 * 24 * time.Hour
	leafLife    = 24 * time.Hour
	renewal     = time.Hour // before its end
)

// skew is how far a client's clock may be behind.
const skew = 5 * time.Minute

// maxLeaves bounds the certificates that are kept: a wild rule lets a command ask for any number of names.
const maxLeaves = 1024

// authority signs for the hosts of one run, and for no other: a client that trusts it too widely is not hurt by more than what the run may reach anyway
// (threat-model.md 46). Its keys are in this memory only.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // one for all leaves: they are the same party

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// newAuthority makes one that holds for life; 0: 24 h, and 30 days at most.
func newAuthority(rules []policy.HostRule, now time.Time, life time.Duration) (*authority, error) {
	if life <= 0 {
		life = defaultLife
	}
	a := &authority{leaves: map[string]*tls.Certificate{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("egress: key of the run's authority: %w", err)
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("egress: key of the run's certificates: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Zavhoz authority of one run"}, NotBefore: now.Add(-skew), NotAfter: now.Add(min(life, maxLife)),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
	}
	constrain(t, rules)
	der, err := x509.CreateCertificate(rand.Reader, t, t, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("egress: the run's authority: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("egress: the run's authority: %w", err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// constrain permits the hosts of rules. A sort of name that no rule has is excluded as a whole, for a constraint binds only names of its own sort.
func constrain(t *x509.Certificate, rules []policy.HostRule) {
	for _, r := range rules {
		if ip, err := netip.ParseAddr(r.Host); err == nil {
			t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())})
		} else {
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, strings.TrimPrefix(r.Host, "*."))
		}
	}
	if len(t.PermittedIPRanges) == 0 {
		t.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}
	}
	if len(t.PermittedDNSDomains) == 0 {
		t.ExcludedDNSDomains = []string{""}
	}
}

// certificate gives the one for a canonical host, which holds for a while yet unless the authority itself ends.
func (a *authority) certificate(host string, now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.leaves[host]; c != nil && (now.Add(renewal).Before(c.Leaf.NotAfter) || c.Leaf.NotAfter.Equal(a.cert.NotAfter)) {
		return c, nil
	}
	end := now.Add(leafLife - skew)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Zavhoz egress"}, NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		t.IPAddresses = []net.IP{ip.AsSlice()}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &a.leaf.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("egress: a certificate of the run: %w", err)
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf}
	if c.Leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("egress: a certificate of the run: %w", err)
	}
	a.leaves[host] = c
	return c, nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f           // positive
	return new(big.Int).SetBytes(b[:])
}
