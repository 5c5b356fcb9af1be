package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// client speaks the operator's API over the operator's socket.
type client struct {
	http *http.Client
	// prove asks the person for the passphrase and gives it to the daemon; errNobody where nobody can be asked. May be nil.
	prove func(context.Context, *client) error
}

// newClient makes a client whose every connection comes from dial.
func newClient(dial func(context.Context) (net.Conn, error)) *client {
	tr := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression: true,
		MaxIdleConns:       1,
	}
	return &client{http: &http.Client{Transport: tr}}
}

// call is plain, and where presence is asked for and a person sits there, it asks and sends once more.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	err := c.plain(ctx, method, path, in, out)
	if fault.CodeOf(err) != fault.PresenceRequired || c.prove == nil {
		return err
	}
	switch perr := c.prove(ctx, c); {
	case errors.Is(perr, errNobody):
		return err
	case perr != nil:
		return perr
	}
	return c.plain(ctx, method, path, in, out)
}

// plain sends in (nil: no body) and decodes the reply into out (nil: thrown away).
func (c *client) plain(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	defer clear(body)
	return c.once(ctx, method, path, body, out)
}

// unread tells whether the daemon went away before it had read the request, so that nothing of it has happened: a unix socket that is closed over unread
// bytes is reset. Handlers act on whole requests only.
func unread(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	return json.Marshal(in)
}

func (c *client) once(ctx context.Context, method, path string, body []byte, out any) error {
	resp, err := c.send(ctx, method, path, body)
	if fault.CodeOf(err) == fault.DaemonUnavailable && (method == "GET" || unread(err)) && ctx.Err() == nil {
		resp, err = c.send(ctx, method, path, body) // it was a daemon at its end: the next one answers
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch w := out.(type) {
	case nil:
		_, err = io.Copy(io.Discard, resp.Body)
	case io.Writer:
		_, err = io.Copy(w, resp.Body)
	default:
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return broken(err)
	}
	return nil
}

// send gives a reply of success; a problem comes back as the fault it was.
func (c *client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://zavhoz"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "the name holds characters that no name has", "").Because(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, f
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, canceled(ctx)
		}
		return nil, broken(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Code == "" {
		return nil, broken(err)
	}
	return nil, problem(p)
}

// problem turns a reply back into the fault; a code that this version does not know becomes internal, its words kept.
func problem(p api.Problem) error {
	code := fault.Code(p.Code)
	for _, known := range fault.Codes() {
		if known == code {
			f := fault.New(code, p.Detail, p.Next)
			f.Details = p.Details
			return f
		}
	}
	return fault.New(fault.Internal, p.Detail, p.Next)
}

// canceled says that the person gave it up.
func canceled(ctx context.Context) error {
	return fault.New(fault.Canceled, "interrupted; what was sent may have happened", "look before you do it again").Because(ctx.Err())
}

func broken(err error) error {
	return fault.New(fault.DaemonUnavailable, "the daemon did not answer", "try again; `zavhoz doctor` says more").Because(err)
}

// path joins escaped segments under /api/v1.
func path(segments ...string) string {
	p := "/api/v1"
	for _, s := range segments {
		p += "/" + url.PathEscape(s)
	}
	return p
}
