package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
)

// TestReplyStreams: what the host wrote arrives before it has written the rest, and only what may still become a value waits.
func TestReplyStreams(t *testing.T) {
	next := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", fmt.Sprint(100<<10))
		}
		_ = http.NewResponseController(w).Flush()
		for i := range 4 {
			<-next
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path == "/sized" {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<10-4*9))
		}
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/events", "/sized"} {
			resp, err := c.Get(u.url(path)) // the header comes before any byte of the body
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(resp.Body)
			for i := range 4 {
				next <- struct{}{}
				line, err := lines.ReadString('\n')
				if _, err2 := lines.ReadString('\n'); err != nil || err2 != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("%q %v", line, err)
				}
			}
			_, _ = io.Copy(io.Discard, lines)
			_ = resp.Body.Close()
		}
	})
}

// TestBothWaysAtOnce: the host answers each piece of the request before the next is sent; then a trailer goes each way.
func TestBothWaysAtOnce(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-After")
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = io.WriteString(w, "got "+line)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-After", "sum "+r.Trailer.Get("X-Sum"))
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		pr, pw := io.Pipe()
		q, _ := http.NewRequest("POST", u.url("/x"), pr)
		q.Trailer = http.Header{"X-Sum": nil}
		resp, err := c.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		for i := range 5 {
			_, _ = fmt.Fprintf(pw, "line %d\n", i)
			if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("got line %d\n", i) {
				t.Fatalf("%q %v", line, err)
			}
		}
		q.Trailer.Set("X-Sum", "42")
		_ = pw.Close()
		if _, err := io.Copy(io.Discard, lines); err != nil || resp.Trailer.Get("X-After") != "sum 42" {
			t.Errorf("%v %v", resp.Trailer, err)
		}
		_ = resp.Body.Close()
	})
	for _, e := range r.wait(t, 4) {
		if e.Up != 35 || e.Down != 55 {
			t.Errorf("bytes: %+v", e)
		}
	}
}

// TestLargeBodies: megabytes each way arrive whole, and are counted.
func TestLargeBodies(t *testing.T) {
	const size = 12 << 20
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n)
			return
		}
		_, _ = io.CopyN(w, zeros{}, size)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	for _, h2 := range []bool{false, true} {
		c := r.client(t, false, h2)
		resp, err := c.Get(u.url("/x"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
			t.Errorf("%d bytes came, %v", n, err)
		}
		_ = resp.Body.Close()
		q, _ := http.NewRequest("PUT", u.url("/x"), io.LimitReader(zeros{}, size))
		if resp, err = c.Do(q); err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint(size) {
			t.Errorf("%s bytes arrived", b)
		}
		_ = resp.Body.Close()
	}
	for i, e := range r.wait(t, 4) {
		if i%2 == 0 && e.Down != size || i%2 == 1 && e.Up != size {
			t.Errorf("%+v", e)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestContinue: a host that refuses before it has the body never gets it, and the client does not send it.
func TestContinue(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	at := fmt.Sprintf("%s:%d", host, u.port)
	if got := r.raw(t, u, "POST /no HTTP/1.1\r\nHost: "+at+"\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 413") {
		t.Errorf("%s", got)
	}
	if got := r.raw(t, u, "POST /yes HTTP/1.1\r\nHost: "+at+"\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nhello"); !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200") || !strings.HasSuffix(got, "hello") {
		t.Errorf("%s", got)
	}
	if got := r.raw(t, u, "POST /yes HTTP/1.1\r\nHost: "+at+"\r\nContent-Length: 5\r\nExpect: 200-nonsense\r\nConnection: close\r\n\r\nhello"); !strings.HasPrefix(got, "HTTP/1.1 417") {
		t.Errorf("%s", got)
	}
}

// TestAnAbandonedRequestEnds: a client that goes away takes its request at the host with it, and the request is recorded.
func TestAnAbandonedRequestEnds(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	c, cancel := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(c, "GET", u.url("/x"), nil)
	go func() { <-arrived; cancel() }()
	if _, err := r.client(t, false, true).Do(q); err == nil {
		t.Error("an answer came")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the request at the host goes on")
	}
	if e := r.wait(t, 1)[0]; e.Decision != egress.Failed {
		t.Errorf("%+v", e)
	}
}

// TestABrokenReplyBreaks: what the host broke off does not look whole.
func TestABrokenReplyBreaks(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sized" {
			w.Header().Set("Content-Length", "200000")
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 70000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	r.eachWay(t, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/sized", "/chunked"} {
			resp, err := c.Get(u.url(path))
			if err != nil {
				continue
			}
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("%s ends well", path)
			}
			_ = resp.Body.Close()
		}
	})
	for _, e := range r.wait(t, 8) {
		if e.Decision != egress.Failed || e.Code != "connection_failed" {
			t.Errorf("%+v", e)
		}
	}
}

// TestCloseEndsEverything: with requests, streams and idle connections open, Close returns and all is recorded.
func TestCloseEndsEverything(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	for _, h2 := range []bool{false, true} {
		resp, err := r.client(t, h2, h2).Get(u.url("/x"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
	}
	_, _ = r.connectTo(t, fmt.Sprintf("%s:%d", host, u.port))
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if n := len(r.wait(t, 2)); n != 2 {
		t.Errorf("%d events", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
