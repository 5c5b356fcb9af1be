package egress_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
)

// TestAttack58_RangesDoNotSplitAValue: a stored text that holds the value, asked for in ranges of any size, one byte included.
func TestAttack58_RangesDoNotSplitAValue(t *testing.T) {
	body := []byte(strings.Repeat("before ", 30000) + truth + strings.Repeat(" after", 30000))
	want := strings.Replace(string(body), truth, standIn, 1)
	var asked string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Range")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	c := r.client(t, false, true)
	get(t, c, "GET", u.url("/x"), "Authorization", "Bearer "+standIn)
	at := bytes.Index(body, []byte(truth))
	var pieces strings.Builder
	for i := at - 2; i < at+len(truth)+2; i++ {
		_, b := get(t, c, "GET", u.url("/x"), "Range", fmt.Sprintf("bytes=%d-%d", i, i))
		pieces.WriteString(b)
	}
	if pieces.String() != want[at-2:at+len(truth)+2] {
		t.Errorf("byte by byte: %q", pieces.String())
	}
	n := len(body)
	for spec, w := range map[string]struct {
		status   int
		from, to int
	}{
		"bytes=0-0": {206, 0, 1}, "bytes=0-": {206, 0, n}, "bytes=5-9": {206, 5, 10}, "bytes=-1": {206, n - 1, n}, fmt.Sprintf("bytes=-%d", 2*n): {206, 0, n}, fmt.Sprintf("bytes=%d-", at+3): {206, at + 3, n},
		fmt.Sprintf("bytes=%d-%d", n-3, n+50): {206, n - 3, n}, fmt.Sprintf("bytes=%d-", n): {416, 0, 0}, fmt.Sprintf("bytes=%d-%d", n+1, n+5): {416, 0, 0}, fmt.Sprintf("bytes=%d-", 10*n): {416, 0, 0},
		"bytes=0-1,5-9": {200, 0, n}, "bytes=x": {200, 0, n}, "lines=1-2": {200, 0, n}, "bytes=9-5": {200, 0, n}, "bytes=-0": {200, 0, n}, "bytes=99999999999999999999-": {200, 0, n},
	} {
		resp, b := get(t, c, "GET", u.url("/x"), "Range", spec)
		if resp.StatusCode != w.status || w.status != 416 && b != want[w.from:w.to] {
			t.Errorf("%s: %d, %d bytes, %v", spec, resp.StatusCode, len(b), resp.Header)
		}
		if w.status == 206 && (resp.ContentLength != int64(len(b)) || resp.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", w.from, w.to-1, n)) {
			t.Errorf("%s: %d, %s", spec, resp.ContentLength, resp.Header.Get("Content-Range"))
		}
	}
	if _, _ = get(t, c, "HEAD", u.url("/x"), "Range", "bytes=0-0"); asked != "" {
		t.Errorf("HEAD asked for %q", asked)
	}
}

// TestAttack58_HostsThatAnswerAnotherRange: what cannot be cut to what was asked for is refused.
func TestAttack58_HostsThatAnswerAnotherRange(t *testing.T) {
	var answer string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", answer)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte(truth[:10]))
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	c := r.client(t, false, false)
	for _, answer = range []string{"", "bytes 100-109/200", "bytes 100-109/*", "bytes 0-9/5", "bytes 9-0/10", "lines 0-9/10", "bytes */10", "bytes 0-8/10", "bytes 0-/10", "bytes -9/10"} {
		if resp, b := get(t, c, "GET", u.url("/x"), "Range", "bytes=0-9"); resp.StatusCode != 502 || !contains(b, "reply_unreadable") {
			t.Errorf("%q: %d %q", answer, resp.StatusCode, b)
		}
	}
	answer = "bytes 0-9/10"
	if resp, b := get(t, c, "GET", u.url("/x")); resp.StatusCode != 502 {
		t.Errorf("partial unasked: %d %q", resp.StatusCode, b)
	}
}
