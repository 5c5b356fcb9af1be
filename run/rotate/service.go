package rotate

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Limits of a service's reply.
const (
	serviceTimeout = 30 * time.Second
	serviceReply   = 1 << 20 // bytes
)

// call asks a service over HTTPS, at the host that the resource's policy resolves, and decodes the reply into out (nil: it is thrown away). status is 0 where none
// came. No error holds the address, which may hold a token, and nothing that the service said.
func (j *Job) call(ctx context.Context, method, where string, header http.Header, in, out any) (status int, err error) {
	e, err := reach(j.Resource)
	if err != nil {
		return 0, err
	}
	dial, err := j.t.o.Dialer(j.Resource)
	if err != nil {
		return 0, err
	}
	tr := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: e.Roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, DisableCompression: true}
	client := http.Client{Transport: tr, Timeout: serviceTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	body := []byte(nil)
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return 0, errDefect
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, where, bytes.NewReader(body))
	if err != nil {
		return 0, errDefect // its text would hold the address
	}
	req.Header = header
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return 0, fault.New(fault.ConnectionFailed, j.Resource.Handle+": the service could not be reached", "try again: --resume").Because(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, serviceReply+1))
	defer clear(raw)
	if err != nil || len(raw) > serviceReply {
		return resp.StatusCode, j.unread()
	}
	if out != nil && resp.StatusCode < 300 && json.Unmarshal(raw, out) != nil {
		return resp.StatusCode, j.unread()
	}
	return resp.StatusCode, nil
}

// unread says that a reply makes no sense.
func (j *Job) unread() error {
	return fault.New(fault.ProviderReply, j.Resource.Handle+": the service answered with something else than it should", "try again: --resume; or give a value of your own: --method guided")
}

// refused says what a status means.
func (j *Job) refused(status int) error {
	h := j.Resource.Handle
	switch {
	case status == http.StatusUnauthorized:
		return fault.New(fault.RemoteAuthFailed, h+": the service refuses the token", "a person checks it there").With("status", status)
	case status == http.StatusForbidden:
		return fault.New(fault.NotPermitted, h+": the token has no right to do this at the service", "give it that right, or give a value of your own: --method guided").With("status", status)
	case status == http.StatusTooManyRequests || status >= 500:
		return fault.New(fault.ProviderUnavailable, h+": the service does not answer now", "try again later: --resume").With("status", status)
	}
	return fault.New(fault.ProviderReply, h+": the service refuses the request", "give a value of your own: --method guided").With("status", status)
}
