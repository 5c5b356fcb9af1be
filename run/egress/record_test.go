package egress_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/egress"
)

var errFull = errors.New("the disk is full")

// failing makes the record fail from now on.
func (r *rig) failing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = errFull
}

// A reply that is all header is no exception: what is not on record is not shown.
func TestARepliesHeaderAloneIsNotShownWithoutRecord(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, q := range []struct {
			method string
			status int
		}{{"HEAD", 200}, {"GET", 204}, {"DELETE", 204}, {"GET", 304}} {
			u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Told", "yes")
				w.WriteHeader(q.status)
			})
			r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
			c := r.client(t, false, h2)
			if resp, _ := get(t, c, q.method, u.url("/x")); resp.StatusCode != q.status || resp.Header.Get("X-Told") != "yes" {
				t.Fatalf("%s: %d %v", q.method, resp.StatusCode, resp.Header)
			}
			r.failing()
			if resp, _ := get(t, c, q.method, u.url("/x")); resp.StatusCode != 503 && resp.StatusCode != 500 || resp.Header.Get("X-Told") != "" {
				t.Errorf("%s %d, h2=%t: %d %v", q.method, q.status, h2, resp.StatusCode, resp.Header)
			}
		}
	}
}

// What lasts is on record when it opens, or does not open.
func TestATunnelDoesNotOpenWithoutRecord(t *testing.T) {
	u, r := passRig(t, "127.0.0.1")
	egress.AllowLoopback(r.Proxy)
	r.failing()
	c := r.client(t, false, true)
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs = u.roots
	if resp, err := c.Get(fmt.Sprintf("https://pass.test:%d/x", u.port)); err == nil {
		t.Errorf("%d", resp.StatusCode)
	}
	if u.count() != 0 {
		t.Error("a request arrived")
	}
	if e := r.wait(t, 1)[0]; e.Decision != egress.Passed || e.Up+e.Down != 0 {
		t.Errorf("%+v", e)
	}
}

func TestAWebSocketDoesNotOpenWithoutRecord(t *testing.T) {
	u := wsUpstream(t, "", func(w io.Writer) { _, _ = w.Write(wsFrame(true, 1, "hello", false)) })
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.failing()
	_, _, resp := r.websocket(t, u)
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode == 101 || strings.Contains(string(b), "hello") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// TestAttack44_TrailersThatWereNotAnnounced: only what the header announced goes up, and of that nothing that steers the host.
func TestAttack44_TrailersThatWereNotAnnounced(t *testing.T) {
	var got http.Header
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.Trailer.Clone()
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	const more = "X-T: sum\r\nX-Http-Method-Override: DELETE\r\nHost: evil.test\r\nTransfer-Encoding: gzip\r\nX-Other: 1\r\nCookie: a=b\r\nX-Api-Key: k\r\nAuthorization: Bearer x\r\nForwarded: host=evil.test\r\n\r\n"
	for announce, want := range map[string]string{"X-T": "map[X-T:[sum]]", "X-T, Cookie, X-Api-Key, Authorization, Forwarded, Host": "map[X-T:[sum]]", "Cookie": "map[]"} {
		got = nil
		a := r.raw(t, u, fmt.Sprintf("POST /x HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nTrailer: %s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n%s", host, u.port, announce, more))
		if !strings.HasPrefix(a, "HTTP/1.1 200") || fmt.Sprint(got) != want {
			t.Errorf("%s: the host saw %v: %s", announce, got, a)
		}
	}
	for _, announce := range []string{"X-Http-Method-Override", "X-T, X-Original-Host"} {
		if a := r.raw(t, u, fmt.Sprintf("POST /x HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\nTrailer: %s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s", host, u.port, announce, more)); !strings.HasPrefix(a, "HTTP/1.1 403") {
			t.Errorf("%s: %s", announce, a)
		}
	}
}
