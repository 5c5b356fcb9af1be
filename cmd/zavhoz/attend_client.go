package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/frames"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// upgrade sends in and gives the connection, which from then on speaks frames. Where presence is asked for and a person sits there, it asks and sends once more.
func (c *client) upgrade(ctx context.Context, path string, in any) (io.ReadWriteCloser, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	conn, err := c.upgradeOnce(ctx, path, body)
	if fault.CodeOf(err) == fault.DaemonUnavailable && unread(err) && ctx.Err() == nil {
		conn, err = c.upgradeOnce(ctx, path, body) // it was a daemon at its end: the next one answers
	}
	if fault.CodeOf(err) != fault.PresenceRequired || c.prove == nil {
		return conn, err
	}
	switch perr := c.prove(ctx, c); {
	case errors.Is(perr, errNobody):
		return nil, err
	case perr != nil:
		return nil, perr
	}
	return c.upgradeOnce(ctx, path, body)
}

func (c *client) upgradeOnce(ctx context.Context, path string, body []byte) (io.ReadWriteCloser, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://zavhoz"+path, bytes.NewReader(body))
	if err != nil {
		return nil, broken(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", frames.Protocol)
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
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		return conn, nil
	}
	defer resp.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Code == "" {
		return nil, broken(err)
	}
	return nil, problem(p)
}
