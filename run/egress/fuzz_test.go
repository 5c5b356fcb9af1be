package egress

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const (
	fuzzTruth   = "TRUTH-Q7rT2vXw9zLk4mNp8sBd1fGh3jKa5cVe6"
	fuzzStandIn = "STANDIN-0000000000000000000000000000000"
	fuzzHost    = "api.test"
)

// fuzzProxy has a resource with every sort of slot, and one that may not be reached by its placeholder.
func fuzzProxy(t testing.TB) *Proxy {
	t.Helper()
	v := func() (secret.Secret, error) { return secret.FromString(fuzzTruth), nil }
	p, err := New(Options{Record: func(Event) error { return nil }, Resources: []Resource{{
		Handle: "r", Rules: []policy.HostRule{{Host: fuzzHost, Deny: []string{"/denied/*"}}, {Host: "*.wild.test", Paths: []string{"/pub/*"}}}, Resolve: map[string]netip.Addr{},
		Swaps: []Swap{
			{Placeholder: fuzzStandIn, Header: "Authorization", Template: "Bearer {value}", Value: v}, {Placeholder: fuzzStandIn, Header: "Authorization", Template: "*:{value}", Basic: true, Value: v},
			{Placeholder: fuzzStandIn, Header: "X-Api-Key", Template: "{value}", Value: v}, {Placeholder: fuzzStandIn, Path: "/bot{value}/", Value: v},
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// FuzzSwap: whatever the request looks like, the true value goes out in its slots only, once each, and never to a path that is denied.
func FuzzSwap(f *testing.F) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+fuzzStandIn))
	for _, s := range [][4]string{
		{"/x", "Authorization", "Bearer " + fuzzStandIn, ""}, {"/bot" + fuzzStandIn + "/x", "X-Api-Key", fuzzStandIn, "q=" + fuzzStandIn}, {"/x", "Authorization", basic, ""},
		{"/%62ot" + fuzzStandIn + "/..", "X-Other", fuzzStandIn, ""}, {"/bot" + fuzzStandIn, "Cookie", "a=" + fuzzStandIn, "_method=x"}, {"/denied/bot" + fuzzStandIn + "/", "Connection", "Authorization", ""},
		{"/bot" + fuzzStandIn + "/bot" + fuzzStandIn + "/", "authorization", "bearer  " + fuzzStandIn, "#"},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	p := fuzzProxy(f)
	f.Fuzz(func(t *testing.T, path, name, value, query string) {
		h := http.Header{}
		h.Add(name, value)
		if name == "" {
			h = http.Header{}
		}
		uri := path
		if query != "" {
			uri += "?" + query
		}
		tt := target{fuzzHost, 443}
		g, no := p.decide(tt, "POST", uri, h, nil, false)
		if no != nil {
			if b := string(no.raw()); strings.Contains(b, fuzzTruth) || strings.Contains(b, fuzzStandIn) || strings.Count(strings.SplitN(b, "\r\n\r\n", 2)[0], "\r\n") != 4 {
				t.Fatalf("the refusal holds what it must not: %q", b)
			}
			return
		}
		r := &http.Request{Method: "POST", Header: h, RequestURI: uri, ProtoMajor: 1, Body: http.NoBody}
		out, no := p.outgoing(t.Context(), r, tt, g, http.NoBody)
		if no != nil {
			return
		}
		sent := out.URL.RequestURI()
		for n, values := range out.Header {
			for _, v := range values {
				if !strings.Contains(v, fuzzTruth) && !strings.Contains(decoded(v), fuzzTruth) {
					continue
				}
				ok := n == "Authorization" && (v == "Bearer "+fuzzTruth || strings.HasPrefix(v, "Basic ") && strings.HasSuffix(decoded(v), ":"+fuzzTruth)) || n == "X-Api-Key" && v == fuzzTruth
				if !ok || len(values) != 1 {
					t.Fatalf("the value goes out in %s: %q", n, v)
				}
			}
		}
		if strings.Contains(sent, fuzzTruth) && (!strings.HasPrefix(sent, "/bot"+fuzzTruth+"/") || strings.Count(sent, fuzzTruth) != 1) {
			t.Fatalf("the value goes out in %q", sent)
		}
		wire, _, _ := strings.Cut(sent, "?")
		normal, err := policy.NormalPath(wire)
		if err != nil || strings.HasPrefix(strings.ToLower(normal), "/denied/") {
			t.Fatalf("what goes out was not compared: %q", sent)
		}
		if !strings.Contains(sent, fuzzTruth) && sent != uri || out.Host != fuzzHost || out.URL.Host != fuzzHost {
			t.Fatalf("%q became %q for %s", uri, sent, out.Host)
		}
	})
}

func decoded(v string) string {
	_, b, _ := strings.Cut(v, " ")
	d, err := base64.StdEncoding.DecodeString(b)
	if err != nil {
		return ""
	}
	return string(d)
}

// FuzzAuthority: what is taken for a target has one spelling, and no two spellings that mean different hosts are one target.
func FuzzAuthority(f *testing.F) {
	for _, s := range []string{"api.test:443", "API.test", "api.test.:443", "[::1]:443", "[::ffff:1.2.3.4]", "1.2.3.4:0443", "a@b:443", "api.test:", ":443", "[::1", "0x7f.1", "api.test:443:443", "x.wild.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseTarget(s, 443)
		if err != nil {
			return
		}
		b, err := parseTarget(a.authority(), 443)
		if err != nil || a != b || a.port < 1 || a.port > 65535 {
			t.Fatalf("%q is %+v, and that is %+v (%v)", s, a, b, err)
		}
		if c, err := policy.CanonicalHost(a.host); err != nil || c != a.host {
			t.Fatalf("%q: %q is not canonical", s, a.host)
		}
		if !a.is(s) || (target{"other.test", 443}).is(s) && a.host != "other.test" {
			t.Fatalf("%q", s)
		}
	})
}

// FuzzFrames: what comes out of the searcher is frames, with the same messages but for the value, in which it does not stand.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x81\x05hello"), 3)
	f.Add(append([]byte{0x81, byte(len(fuzzTruth))}, fuzzTruth...), 1)
	f.Add([]byte("\x01\x03abc\x89\x01p\x80\x02de\x88\x00"), 2)
	f.Add([]byte("\x82\x7e\x01\x00"+strings.Repeat("x", 256)), 200)
	p := fuzzProxy(f)
	p.guard.learn(secret.FromString(fuzzTruth), fuzzStandIn)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		x := p.begin(target{fuzzHost, 443}, "GET")
		x.views = p.guard.current()
		var out bytes.Buffer
		_, err := x.searchFrames(&out, newReader(in, cut))
		if err == nil {
			t.Fatal("it ends without an error")
		}
		want, whole := messages(in)
		got, ok := messages(out.Bytes())
		if !ok {
			t.Fatalf("not frames: %q", out.Bytes())
		}
		if len(got) > len(want) {
			t.Fatalf("%d messages became %d", len(want), len(got))
		}
		for i, m := range got {
			if len(m) != len(want[i]) || strings.Contains(m, fuzzTruth) {
				t.Fatalf("%q became %q", want[i], m)
			}
			if !strings.Contains(m, "*") && !strings.Contains(m, fuzzStandIn) && m != want[i] {
				t.Fatalf("%q became %q", want[i], m)
			}
		}
		if whole && len(got) != len(want) {
			t.Fatalf("%d messages became %d", len(want), len(got))
		}
	})
}

// messages parses frames independently: each message or control frame with its opcode; ok says that nothing invalid or unfinished but a last message was there.
func messages(b []byte) (all []string, ok bool) {
	r := bytes.NewReader(b)
	current, inside := "", false
	for r.Len() > 0 {
		f, err := readFrame(r)
		if err != nil || f.masked || f.length > int64(r.Len()) {
			return all, false
		}
		payload := make([]byte, f.length)
		_, _ = io.ReadFull(r, payload)
		if f.control() {
			all = append(all, string(rune('0'+f.op))+string(payload))
			continue
		}
		if inside == (f.op != 0) {
			return all, false
		}
		if !inside {
			current = string(rune('0' + f.op))
		}
		current += string(payload)
		if inside = !f.fin; f.fin {
			all = append(all, current)
		}
	}
	return all, true
}

// FuzzRange: what is asked for and what is given back fit, whatever the host says.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-", "bytes=-7", "bytes=1-2,3-4", "bytes=9-1", "bytes=18446744073709551615-"} {
		f.Add(s, "bytes 0-9/10", int64(10))
	}
	f.Fuzz(func(t *testing.T, asked, answered string, length int64) {
		w, header := widen([]string{asked})
		if (w == nil) != (header == nil) {
			t.Fatal("half a range")
		}
		if w == nil {
			return
		}
		resp := &http.Response{StatusCode: 206, ContentLength: length, Header: http.Header{"Content-Range": {answered}}}
		trim, no := w.narrow(resp)
		if no != nil {
			return
		}
		if trim.skip < 0 || trim.left < 0 || resp.ContentLength != trim.left || resp.StatusCode == 206 && trim.left == 0 {
			t.Fatalf("%q of %q: %+v", asked, answered, trim)
		}
		if first, last, total, ok := contentRange(resp.Header["Content-Range"]); resp.StatusCode == 206 && (!ok || last-first+1 != trim.left || last >= total) {
			t.Fatalf("%q of %q: %s", asked, answered, resp.Header["Content-Range"])
		}
	})
}

// newReader gives in pieces of cut bytes.
func newReader(in []byte, cut int) *bufio.Reader {
	return bufio.NewReader(&pieces{in, max(1, cut%64)})
}

type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}
