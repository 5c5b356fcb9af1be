package mcp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/id"
)

// Attacks 53: DNS rebinding, foreign origins, simple requests, preflights; and what else a stranger may try.
func TestGuard(t *testing.T) {
	w := newWeb(t, func(o *mcp.Options) {
		o.HTTP = mcp.HTTP{Hosts: []string{"zavhoz.example"}, Origins: []string{"https://ui.example"}}
	})
	msg, ok := modernCall("1", "who")
	host := strings.TrimPrefix(w.url, "http://")
	port := host[strings.LastIndexByte(host, ':'):]
	tests := []struct {
		name    string
		headers []string
		status  int
	}{
		{"plain", nil, 200},
		{"localhost", []string{"Host", "LocalHost" + port}, 200},
		{"public name", []string{"Host", "Zavhoz.example"}, 200},
		{"rebinding", []string{"Host", "evil.example" + port}, 403},
		{"rebinding, name like loopback", []string{"Host", "localhost.evil.example" + port}, 403},
		{"other port", []string{"Host", "localhost:1"}, 403},
		{"no port", []string{"Host", "localhost"}, 403},
		{"other address", []string{"Host", "10.0.0.1" + port}, 403},
		{"decimal address", []string{"Host", "2130706433" + port}, 403},
		{"own origin", []string{"Origin", w.url}, 200},
		{"listed origin", []string{"Origin", "https://ui.example"}, 200},
		{"listed origin, cross-site", []string{"Origin", "https://ui.example", "Sec-Fetch-Site", "cross-site"}, 200},
		{"evil origin", []string{"Origin", "https://evil.example"}, 403},
		{"null origin", []string{"Origin", "null"}, 403},
		{"origin of another port", []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"file origin", []string{"Origin", "file://" + host}, 403},
		{"cross-site without origin", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same-site", []string{"Origin", w.url, "Sec-Fetch-Site", "same-site"}, 403},
		{"text/plain", []string{"Content-Type", "text/plain"}, 415},
		{"form", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"no type", []string{"Content-Type", ""}, 415},
		{"json-like", []string{"Content-Type", "application/json-patch+json"}, 415},
		{"type with a rider", []string{"Content-Type", "application/json; text/plain"}, 415},
		{"charset", []string{"Content-Type", "application/json; charset=UTF-8"}, 200},
		{"other charset", []string{"Content-Type", "application/json; charset=utf-7"}, 415},
		{"packed", []string{"Content-Encoding", "gzip"}, 415},
		{"no token", []string{"Authorization", ""}, 401},
		{"basic", []string{"Authorization", "Basic " + tokenA}, 401},
		{"unknown token", []string{"Authorization", "Bearer " + id.NewToken(id.AgentToken)}, 401},
		{"operator's token", []string{"Authorization", "Bearer " + id.NewToken(id.OperatorToken)}, 401},
		{"cut token", []string{"Authorization", "Bearer " + tokenA[:20]}, 401},
		{"lower-case scheme", []string{"Authorization", "bearer " + tokenA}, 200},
		{"pretends to be proxied", []string{"X-Forwarded-For", "10.1.1.1", "X-Forwarded-Proto", "http"}, 200},
	}
	for _, tt := range tests {
		res, body := w.post("/mcp", tokenA, msg, append(ok[:len(ok):len(ok)], tt.headers...)...)
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d: %s", tt.name, res.StatusCode, tt.status, body)
		}
		if tt.status == 401 && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no challenge", tt.name)
		}
	}
}

func TestMethodsAreListed(t *testing.T) {
	w := newWeb(t)
	for _, tt := range []struct{ method, path, allow string }{
		{"GET", "/mcp", "POST, DELETE"}, {"OPTIONS", "/mcp", "POST, DELETE"}, {"HEAD", "/mcp", "POST, DELETE"}, {"PUT", "/mcp", "POST, DELETE"}, {"TRACE", "/sse", "GET"},
		{"POST", "/sse", "GET"}, {"OPTIONS", "/sse", "GET"}, {"GET", "/message", "POST"}, {"OPTIONS", "/message", "POST"},
	} {
		req, err := http.NewRequest(tt.method, w.url+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, _ := w.do(req, "Authorization", "Bearer "+tokenA, "Origin", w.url, "Content-Type", "application/json")
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q", tt.method, tt.path, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestListenPolicy(t *testing.T) {
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	tests := []struct {
		addr   string
		tls    bool
		proxy  []netip.Prefix
		public string
		ok     bool
	}{
		{"127.0.0.1:1", false, nil, "", true}, {"[::1]:1", false, nil, "", true}, {"localhost:1", false, nil, "", true}, {"[::ffff:127.0.0.1]:1", false, nil, "", true},
		{":1", false, nil, "", false}, {"0.0.0.0:1", false, nil, "", false}, {"[::]:1", false, nil, "", false}, {"192.168.1.5:1", false, nil, "", false},
		{"localhost.evil.example:1", false, nil, "", false}, {"127.0.0.1", false, nil, "", false}, {"2130706433:1", false, nil, "", false},
		{"0.0.0.0:1", true, nil, "", true}, {"0.0.0.0:1", false, proxy, "https://z.example", true}, {"0.0.0.0:1", false, proxy, "http://z.example", false},
		{"0.0.0.0:1", false, proxy, "", false}, {"0.0.0.0:1", false, nil, "https://z.example", false},
	}
	for _, tt := range tests {
		if err := mcp.ListenPolicy(tt.addr, tt.tls, tt.proxy, tt.public); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// X-Forwarded-* count only from the named proxy, and clear text counts only on loopback.
func TestForwardedHeaders(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) {
		o.HTTP = mcp.HTTP{Hosts: []string{"z.example"}, TrustedProxy: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}
	})
	tests := []struct {
		from, proto, forwarded string
		status                 int
		client                 string
	}{
		{"10.0.0.1:9", "https", "1.2.3.4", 200, ""},
		{"10.0.0.1:9", "http", "1.2.3.4", 403, "1.2.3.4"},
		{"10.0.0.1:9", "", "127.0.0.1, 1.2.3.4", 403, "1.2.3.4"}, // the first hop is the client's own word
		{"10.0.0.2:9", "https", "127.0.0.1", 403, "10.0.0.2"},    // not the proxy
		{"192.0.2.1:9", "", "", 403, "192.0.2.1"},
		{"127.0.0.1:9", "", "", 200, ""},
	}
	msg, h := modernCall("1", "who")
	for _, tt := range tests {
		req := httptest.NewRequest("POST", "/mcp", bytes.NewReader([]byte(msg)))
		req.RemoteAddr, req.Host = tt.from, "z.example"
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+tokenA)
		for i := 0; i < len(h); i += 2 {
			req.Header.Set(h[i], h[i+1])
		}
		if tt.proto != "" {
			req.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		if tt.forwarded != "" {
			req.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		rec := httptest.NewRecorder()
		w.srv.HTTPHandler().ServeHTTP(rec, req)
		if rec.Code != tt.status || tt.client != "" && !strings.Contains(w.log.String(), "client="+tt.client) {
			t.Errorf("%+v: %d %s\n%s", tt, rec.Code, rec.Body, w.log)
		}
	}
}

// deadlines records what a handler does with its connection's write deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// Every reply is written under a deadline, and none is left on the connection.
func TestWriteDeadlinesAreSetAndCleared(t *testing.T) {
	w := newWorld(t)
	msg, h := modernCall("1", "who")
	for _, token := range []string{tokenA, "none"} {
		req := httptest.NewRequest("POST", "http://127.0.0.1/mcp", strings.NewReader(msg))
		req.RemoteAddr = "127.0.0.1:9"
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		for i := 0; i < len(h); i += 2 {
			req.Header.Set(h[i], h[i+1])
		}
		rec := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		w.srv.HTTPHandler().ServeHTTP(rec, req)
		if n := len(rec.set); n < 2 || rec.set[0].IsZero() || !rec.set[n-1].IsZero() {
			t.Errorf("%d: deadlines %v", rec.Code, rec.set)
		}
	}
}
