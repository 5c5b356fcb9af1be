package mcp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// slow hands nothing over before it is let.
type slow struct {
	member
	begun chan context.Context // of each that waits
	let   chan struct{}
}

func (s slow) Hand(ctx context.Context, to string, msg mcp.Handed) error {
	s.begun <- ctx
	select {
	case <-s.let:
		return s.member.Hand(ctx, to, msg)
	case <-ctx.Done():
		return errors.Join(mcp.ErrSilent, ctx.Err())
	}
}

func newSlowFleet(t *testing.T, change func(*mcp.Options), names ...string) (*fleet, slow) {
	f, s := &fleet{map[string]*web{}}, slow{begun: make(chan context.Context, 16), let: make(chan struct{})}
	for _, n := range names {
		f.by[n] = newWeb(t, change, func(o *mcp.Options) { o.Replicas = slow{member{f, n, "key"}, s.begun, s.let} })
	}
	return f, s
}

// hangUp posts a message, and gives its connection up once it is on the way to another server.
func (s slow) hangUp(t *testing.T, w *web, msg, sid string) (on context.Context) {
	t.Helper()
	ctx, gone := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", w.url+"/mcp", strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + tokenA, "Mcp-Session-Id": sid} {
		req.Header.Set(k, v)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			t.Errorf("answered before it was carried: %d", res.StatusCode)
		}
	})
	on = <-s.begun
	gone()
	ended.Wait()
	return on
}

// TestWhoHangsUpHasSentIt: a cancel and an answer that are on their way to another server get there, though their sender's connection is gone; each has a bound of its own.
func TestWhoHangsUpHasSentIt(t *testing.T) {
	var rounds atomic.Int64
	f, s := newSlowFleet(t, asks(&rounds), "a", "b")
	a, b := f.by["a"], f.by["b"]
	replies := make(chan string, 1)
	sid := a.sessionAs(bothModes)
	a.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sid)
	hear, _ := a.streamOf(tokenA, sid, call("2", "page", `{}`))
	q := asked(t, hear())
	for _, x := range []struct {
		what, msg string
		limit     time.Duration
		heard     func() string
		part      string
	}{
		{"a cancel", cancelOf("1"), 5 * time.Second, func() string { return <-replies }, `"canceled"`},
		{"an answer", answer(q.id, `{"action":"accept"}`), 30 * time.Second, hear, "said accept"},
	} {
		on := s.hangUp(t, b, x.msg, sid)
		if end, bound := on.Deadline(); !bound || time.Until(end) > x.limit {
			t.Errorf("%s: until %v, %t", x.what, end, bound)
		}
		select {
		case <-on.Done():
			t.Errorf("%s was given up with its sender's connection", x.what)
		case <-time.After(200 * time.Millisecond): // the server sees the end of a connection when it does
			s.let <- struct{}{}
			want(t, x.heard(), x.part)
		}
	}
}

// TestAServersEndWaitsForWhatIsOnItsWay: also for what nobody's connection holds up any more, but no longer than it has time; and nothing more goes out.
func TestAServersEndWaitsForWhatIsOnItsWay(t *testing.T) {
	f, s := newSlowFleet(t, func(*mcp.Options) {}, "a", "b", "c")
	b := f.by["b"]
	sid := b.session(tokenA)
	for range 2 {
		on := s.hangUp(t, b, cancelOf("1"), sid)
		<-s.begun // to the other server, at the same time
		ctx, over := context.WithCancel(t.Context())
		settled := make(chan struct{})
		go func() { b.srv.Settle(ctx); close(settled) }()
		select {
		case <-settled:
			t.Error("it did not wait")
		case <-time.After(100 * time.Millisecond):
		}
		over()
		if <-settled; !errors.Is(on.Err(), context.Canceled) {
			t.Errorf("broken off: %v", on.Err())
		}
		if res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != 503 || len(s.begun) != 0 {
			t.Errorf("after its end: %d, %d on the way", res.StatusCode, len(s.begun))
		}
		b = f.by["c"]
	}
}

// halfDead is a fleet of which c hears nothing, and takes all the time there is.
type halfDead struct {
	member
	ends chan error
}

func (h halfDead) Hand(ctx context.Context, to string, msg mcp.Handed) error {
	if to != "c" {
		return h.member.Hand(ctx, to, msg)
	}
	<-ctx.Done()
	h.ends <- ctx.Err()
	return fault.New(fault.DaemonUnavailable, "it does not answer", "").Because(mcp.ErrSilent)
}

// TestAServerThatIsDeadHoldsNoCancelUp: all servers are asked at the same time, and one that has the call is enough. Where none has it, who is listed and dead is waited for a short time, once, and no error.
func TestAServerThatIsDeadHoldsNoCancelUp(t *testing.T) {
	f, ends := &fleet{map[string]*web{"c": nil}}, make(chan error, 4)
	for _, n := range []string{"a", "b"} {
		f.by[n] = newWeb(t, func(o *mcp.Options) { o.Replicas = halfDead{member{f, n, "key"}, ends} })
	}
	a, b := f.by["a"], f.by["b"]
	replies := make(chan string, 1)
	sid := a.session(tokenA)
	a.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sid)
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid)
		if got := <-ends; res.StatusCode != 202 || !errors.Is(got, end) || len(ends) != 0 {
			t.Errorf("status %d, %v, %d more", res.StatusCode, got, len(ends))
		}
		if end == context.Canceled {
			want(t, <-replies, `"canceled"`)
		}
	}
}
