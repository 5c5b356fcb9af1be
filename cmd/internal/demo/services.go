package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// weatherHost is the name that the service goes by; the resource's policy says where it is.
const weatherHost = "weather.example"

// weather is a real TLS service that wants a bearer token.
type weather struct {
	addr, caFile string // addr is weatherHost and the port
	token        string
	srv          *http.Server
	mu           sync.Mutex
	seen         []string
}

// newWeather starts the service on loopback with a certificate of its own.
func newWeather(token, caFile string) (*weather, error) {
	cert, caPEM, err := selfSigned()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(caFile, caPEM, 0o600); err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	w := &weather{addr: fmt.Sprintf("%s:%d", weatherHost, l.Addr().(*net.TCPAddr).Port), caFile: caFile, token: token}
	w.srv = &http.Server{Handler: w, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = w.srv.Serve(l) }()
	return w, nil
}

// ServeHTTP answers who brings the true token, and echoes it as careless services do.
func (w *weather) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	verdict := "a wrong token"
	if got == w.token {
		verdict = fmt.Sprintf("the true token (%d bytes, equal)", len(got))
	}
	w.mu.Lock()
	w.seen = append(w.seen, r.Method+" "+r.URL.Path+" with "+verdict)
	w.mu.Unlock()
	if got != w.token {
		http.Error(rw, "who are you?", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(rw, "Vilnius: -2 °C, snow for %s h\n(debug: authorized as %s)\n", r.URL.Query().Get("hours"), got)
}

// take gives what was received since the last time.
func (w *weather) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen
	w.seen = nil
	return s
}

func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weather demo"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{weatherHost}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// forecast is the pinned program: a small weather client that holds the token itself. It trusts and reaches what its environment tells it, as Go programs do.
func forecast(hours string) int {
	c := &http.Client{Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+os.Getenv("WEATHER_ADDR")+"/v1/forecast?hours="+hours, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "forecast:", err)
		return 1
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("WEATHER_API_KEY"))
	resp, err := c.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, "forecast: the service does not answer")
		return 1
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
