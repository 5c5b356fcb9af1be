package egress_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The benchmarks of one run, comparable with each other (docs/performance.md, goals 5 and 6):
//
//	go test ./run/egress -run '^$' -bench . -benchtime 2s -count 3
//
// direct is the client at the upstream itself; floor a proxy that takes TLS off, replaces one header and forwards, without policy, record or redaction; ours is
// the whole of this package. Each reports p50 and p99.

const bulkLen = 64 << 20

var bulk = sync.OnceValue(func() []byte {
	b := make([]byte, bulkLen)
	for i := range b {
		b[i] = "0123456789abcdef \n{}\":,"[i%23]
	}
	return b
})

var small = []byte(`{"id":"` + strings.Repeat("x", 500) + `"}`)

func benchUpstream(b *testing.B) *upstream {
	return newUpstream(b, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+truth && r.URL.Path != "/direct" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/bulk" {
			_, _ = w.Write(bulk())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(small)
	})
}

// ways gives for each way a maker of clients and the header that they send.
func ways(b *testing.B, u *upstream) (names []string, clients map[string]func() *http.Client, header map[string]string) {
	plain := func(trust *x509.CertPool, proxy string) func() *http.Client {
		return func() *http.Client {
			tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, NextProtos: []string{"http/1.1"}}, DisableCompression: true, MaxIdleConnsPerHost: 4, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
			if proxy != "" {
				tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})
			} else {
				tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", u.port))
				}
			}
			b.Cleanup(tr.CloseIdleConnections)
			return &http.Client{Transport: tr, Timeout: time.Minute}
		}
	}
	floorTrust, floor := newFloor(b, u)
	r := newRig(b, u.port, egress.Options{Resources: []egress.Resource{u.resource(), another(u)}, Matcher: matcher(b, truth, "another-value-of-the-vault-0123456789")})
	return []string{"direct", "floor", "ours"},
		map[string]func() *http.Client{"direct": plain(u.roots, ""), "floor": plain(floorTrust, floor), "ours": plain(r.trust, r.proxy)},
		map[string]string{"direct": "Bearer " + truth, "floor": "Bearer " + standIn, "ours": "Bearer " + standIn}
}

// another resource of the run, so that choosing costs what it costs.
func another(u *upstream) egress.Resource {
	return egress.Resource{Handle: "other", Private: true, Roots: u.roots, Resolve: map[string]netip.Addr{"other.test": netip.MustParseAddr("127.0.0.1")},
		Rules: []policy.HostRule{{Host: "other.test", Port: u.port}},
		Swaps: []egress.Swap{{Placeholder: "sk-otherstandin000000000000000000", Header: "X-Api-Key", Template: "{value}", Value: value("another-value-of-the-vault-0123456789")}}}
}

func fetch(b *testing.B, c *http.Client, url, header string, close bool) int64 {
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		b.Error(err)
		return 0
	}
	r.Header.Set("Authorization", header)
	r.Close = close
	resp, err := c.Do(r)
	if err != nil {
		b.Error(err)
		return 0
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != 200 {
		b.Errorf("status %d, %v", resp.StatusCode, err)
	}
	return n
}

// BenchmarkKeepAlive is one request after the other on kept connections, by 1 caller and by 32.
func BenchmarkKeepAlive(b *testing.B) { benchRequests(b, []int{1, 32}, false) }

// BenchmarkNewConnection opens one for each request.
func BenchmarkNewConnection(b *testing.B) { benchRequests(b, []int{1}, true) }

func benchRequests(b *testing.B, callers []int, closing bool) {
	u := benchUpstream(b)
	names, clients, header := ways(b, u)
	for _, n := range callers {
		for _, name := range names {
			b.Run(fmt.Sprintf("callers=%d/%s", n, name), func(b *testing.B) {
				each := make([]*http.Client, n)
				for i := range each {
					each[i] = clients[name]()
					fetch(b, each[i], u.url("/x"), header[name], false)
				}
				took := make([][]time.Duration, n)
				b.ResetTimer()
				var all sync.WaitGroup
				for i := range n {
					all.Go(func() {
						for range (b.N + n - 1) / n {
							start := time.Now()
							fetch(b, each[i], u.url("/x"), header[name], closing)
							took[i] = append(took[i], time.Since(start))
						}
					})
				}
				all.Wait()
				b.StopTimer()
				times := slices.Concat(took...)
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

// BenchmarkRatios measures direct, floor and ours by turns, a batch each, so that whatever else the machine does hits all alike: the numbers of the goals.
func BenchmarkRatios(b *testing.B) {
	u := benchUpstream(b)
	names, clients, header := ways(b, u)
	for _, c := range []struct {
		name    string
		callers int
		closing bool
		batch   int
	}{{"callers=1", 1, false, 50}, {"callers=32", 32, false, 640}, {"new-connection", 1, true, 10}} {
		b.Run(c.name, func(b *testing.B) {
			took, spent := map[string][]time.Duration{}, map[string]time.Duration{}
			each := map[string][]*http.Client{}
			for _, name := range names {
				for range c.callers {
					each[name] = append(each[name], clients[name]())
					fetch(b, each[name][len(each[name])-1], u.url("/x"), header[name], false)
				}
			}
			b.ResetTimer()
			for range b.N {
				for _, name := range names {
					var all sync.WaitGroup
					times := make([][]time.Duration, c.callers)
					begin := time.Now()
					for i := range c.callers {
						all.Go(func() {
							for range c.batch / c.callers {
								start := time.Now()
								fetch(b, each[name][i], u.url("/x"), header[name], c.closing)
								times[i] = append(times[i], time.Since(start))
							}
						})
					}
					all.Wait()
					spent[name] += time.Since(begin)
					took[name] = append(took[name], slices.Concat(times...)...)
				}
			}
			b.StopTimer()
			at := func(name string, q int) float64 {
				slices.Sort(took[name])
				return float64(took[name][len(took[name])*q/100].Nanoseconds()) / 1e3
			}
			b.ReportMetric(at("floor", 50), "floor-p50-µs")
			b.ReportMetric(at("ours", 50), "ours-p50-µs")
			b.ReportMetric(at("ours", 50)/at("floor", 50), "p50/floor")
			b.ReportMetric(at("ours", 99)/at("floor", 99), "p99/floor")
			b.ReportMetric(100*spent["floor"].Seconds()/spent["ours"].Seconds(), "rate-%-of-floor")
			b.ReportMetric(at("ours", 50)/at("direct", 50), "p50/direct")
		})
	}
	b.Run("bulk", func(b *testing.B) {
		spent := map[string]time.Duration{}
		for range b.N {
			for _, name := range names {
				c := clients[name]()
				fetch(b, c, u.url("/x"), header[name], false)
				start := time.Now()
				if n := fetch(b, c, u.url("/bulk"), header[name], false); n != bulkLen {
					b.Fatalf("%d bytes", n)
				}
				spent[name] += time.Since(start)
				c.CloseIdleConnections()
			}
		}
		for _, name := range names {
			b.ReportMetric(float64(b.N)*bulkLen/1e6/spent[name].Seconds(), name+"-MB/s")
		}
		b.ReportMetric(100*spent["direct"].Seconds()/spent["ours"].Seconds(), "rate-%-of-direct")
	})
}

// BenchmarkBulk is one body of 64 MiB.
func BenchmarkBulk(b *testing.B) {
	u := benchUpstream(b)
	names, clients, header := ways(b, u)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			c := clients[name]()
			fetch(b, c, u.url("/x"), header[name], false)
			b.SetBytes(bulkLen)
			b.ResetTimer()
			for range b.N {
				if n := fetch(b, c, u.url("/bulk"), header[name], false); n != bulkLen {
					b.Fatalf("%d bytes", n)
				}
			}
		})
	}
}

// newFloor is the least that such a proxy does: TLS off with one cached certificate, one header replaced, a pooled transport, the reply copied.
func newFloor(b *testing.B, u *upstream) (*x509.CertPool, string) {
	trust := x509.NewCertPool()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "floor"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	parsed, _ := x509.ParseCertificate(der)
	trust.AddCert(parsed)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, parsed, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	config := &tls.Config{NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}}}
	up := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: u.roots}, MaxIdleConnsPerHost: 64, DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", u.port))
		}}
	buffers := sync.Pool{New: func() any { return new([32 << 10]byte) }}
	inner := &floorListener{make(chan net.Conn, 64)}
	serve := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := r.Clone(r.Context())
		o.RequestURI, o.URL.Scheme, o.URL.Host, o.Close = "", "https", r.Host, false
		o.Header.Del("Connection")
		o.Header.Set("Authorization", strings.Replace(o.Header.Get("Authorization"), standIn, truth, 1))
		resp, err := up.RoundTrip(o)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		buf := buffers.Get().(*[32 << 10]byte)
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, resp.Body, buf[:])
		buffers.Put(buf)
		_ = resp.Body.Close()
	})}
	outer := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		inner.conns <- tls.Server(c, config)
	})}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var both sync.WaitGroup
	both.Go(func() { _ = serve.Serve(inner) })
	both.Go(func() { _ = outer.Serve(l) })
	b.Cleanup(func() {
		_ = outer.Close()
		close(inner.conns) // before: Close waits until the listener has ended
		_ = serve.Close()
		both.Wait()
		up.CloseIdleConnections()
	})
	return trust, l.Addr().String()
}

type floorListener struct{ conns chan net.Conn }

func (l *floorListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (*floorListener) Close() error   { return nil }
func (*floorListener) Addr() net.Addr { return &net.TCPAddr{} }
