package time4vps

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// call is one call of the API with its throttle waits.
type call struct {
	method string
	path   string
	limit  int64         // bytes of the reply
	budget time.Duration // of all its waits; 0: the client's
}

// budget is a span of the client's clock.
type budget struct {
	c   *Client
	end time.Time
}

func (c *Client) budget(ctx context.Context, d time.Duration) budget {
	if end, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(end))
	}
	return budget{c, c.o.Clock().Add(d)}
}

func (b budget) left() time.Duration { return b.end.Sub(b.c.o.Clock()) }

// wait waits d, or what is left of the budget, and then says that time is up.
func (b budget) wait(ctx context.Context, d time.Duration) error {
	left := b.left()
	if left <= 0 {
		return timeUp(nil)
	}
	if err := b.c.o.Wait(ctx, min(d, left)); err != nil {
		return contextFault(err)
	}
	if d >= left {
		return timeUp(nil)
	}
	return nil
}

// do makes the call and gives its reply to decode, then wipes it: replies hold passwords. A throttle is waited out; nothing else is tried again.
func (c *Client) do(ctx context.Context, call call, decode func(body []byte) error) error {
	if call.budget == 0 {
		call.budget = c.o.Budget
	}
	b := c.budget(ctx, call.budget)
	for {
		err := c.once(ctx, call, min(c.o.Timeout, max(b.left(), time.Millisecond)), decode)
		n, throttled := throttledFor(err)
		if !throttled {
			return err
		}
		c.o.Log.Debug("time4vps: throttled", "wait_s", int(n.Seconds()))
		if err := b.wait(ctx, n); err != nil {
			return err
		}
	}
}

// once is one HTTP exchange.
func (c *Client) once(ctx context.Context, call call, timeout time.Duration, decode func([]byte) error) error {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, call.method, c.base.String()+call.path, nil)
	if err != nil {
		return fault.New(fault.InvalidArgument, "the provider's base URL cannot be called", "").Because(err)
	}
	if err := c.authorise(ctx, req); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return exchangeFault(outer, err)
	}
	defer resp.Body.Close()
	body, err := readBody(resp.Body, call.limit)
	defer clear(body)
	if err != nil {
		return exchangeFault(outer, err)
	}
	if err := classify(resp.StatusCode, body); err != nil {
		return err
	}
	if err := decode(body); err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return f
		}
		return replyFault(err)
	}
	return nil
}

// authorise puts the account's login into the request.
func (c *Client) authorise(ctx context.Context, req *http.Request) error {
	user, password, err := c.o.Credentials(ctx)
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return f
		}
		return fault.New(fault.SyncNotConfigured, "the provider's login could not be read", "give the resource with the login in sync.time4vps.resource").Because(err)
	}
	defer password.Wipe()
	req.Header.Set("Authorization", "Basic "+basic(user, password))
	req.Header.Set("Accept", "application/json")
	if req.Method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	return nil
}

func basic(user string, password secret.Secret) string {
	plain := append(append([]byte(user), ':'), password.Reveal()...)
	defer clear(plain)
	return base64.StdEncoding.EncodeToString(plain)
}

// readBody reads at most limit bytes; more is an error, for a cut list would look like deleted servers. What was read is given with an error too, to
// be wiped.
func readBody(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = errTooLarge
	}
	return b.Bytes(), err
}
