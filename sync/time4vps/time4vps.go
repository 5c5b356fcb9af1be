// Package time4vps is a client of the Time4VPS account API, by the schema that the provider documents and by what it was seen to do.
//
// Promise: what the provider says is classified by the reply's body, whatever the HTTP status, and comes out as faults of ours (provider_login,
// provider_ip_denied, provider_throttled, provider_unavailable, provider_reply) that hold no text of the provider. A throttle is waited out within the
// budget of the call. Every reply has a size cap and every call a deadline. Fields that are not declared here are dropped where a reply is decoded; a
// new root password leaves only as secret.Secret.
//
// Attacks and accidents stopped: root passwords that hide in a read call (`last_tasks[].results` of the server details) and end in a log or a cache
// (threat-model.md 65); the account's password sent to another host by a redirect, in clear text by an http address, or to whoever answers without a
// certificate; a throttle's 401 read as a wrong password, which once lost a new root password; a huge, deep or endless reply (67).
//
// Reinstalling a server is not here: it erases the disk and the backups, and nothing in Zavhoz may do that by itself.
package time4vps

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// DefaultBaseURL is the provider's address.
const DefaultBaseURL = "https://billing.time4vps.com/api"

// Size caps of replies in bytes, after decompression.
const (
	listCap = 8 << 20 // GET /server: about 40,000 servers
	bodyCap = 1 << 20
)

// Sentinels for callers inside the program; they are wrapped by faults.
var (
	ErrNotFound   = errors.New("time4vps: no such server, service or task")
	ErrNoPassword = errors.New("time4vps: a completed task without a password")

	errRedirect = errors.New("time4vps: redirected to another place")
	errTooLarge = errors.New("time4vps: reply larger than its cap")
)

// Options are what a Client is made of. Zero values mean the defaults named.
type Options struct {
	BaseURL string // https://…, or http:// on loopback for a simulator; default DefaultBaseURL
	// Credentials gives the account's login for each request; the Client wipes the password after use, so it must be a copy. A fault of it
	// (vault_locked, sync_not_configured) is passed on as it is.
	Credentials func(ctx context.Context) (user string, password secret.Secret, err error)
	HTTPClient  *http.Client                                     // its Transport is used, with our rules for redirects and no cookies; certificates must be verified
	Clock       func() time.Time                                 // default time.Now
	Wait        func(ctx context.Context, d time.Duration) error // default: a timer; tests count the seconds
	Log         *slog.Logger                                     // default: none; codes and counts only
	Timeout     time.Duration                                    // of one HTTP exchange; default 30 s
	Budget      time.Duration                                    // of one call with its throttle waits; default 60 s
}

// Client talks to one account. Its methods may be called by many goroutines.
type Client struct {
	o    Options
	base *url.URL
	http *http.Client
}

// New makes a Client. Errors: fault invalid_argument for a base URL, a transport or options that would expose the login.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	base, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Credentials == nil {
		return nil, fault.New(fault.InvalidArgument, "the provider's client needs credentials", "")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Wait == nil {
		o.Wait = waitTimer
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Budget <= 0 {
		o.Budget = time.Minute
	}
	h, err := httpClient(o.HTTPClient)
	if err != nil {
		return nil, err
	}
	return &Client{o: o, base: base, http: h}, nil
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseBase accepts https, and http to this machine only: a password must not travel in clear text (threat-model.md 56).
func parseBase(s string) (*url.URL, error) {
	refused := fault.New(fault.InvalidArgument, "a provider's base URL is https://host/path, or http:// on loopback", "mend base_url in the configuration")
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, refused
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, refused
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// httpClient takes over the transport of the one given, nothing else of it.
func httpClient(given *http.Client) (*http.Client, error) {
	var transport http.RoundTripper
	if given != nil {
		transport = given.Transport
	}
	if t, ok := transport.(*http.Transport); ok && t.TLSClientConfig != nil && t.TLSClientConfig.InsecureSkipVerify {
		return nil, fault.New(fault.InvalidArgument, "the provider's certificate must be verified", "")
	}
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 16, 16
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}, nil
}

// checkRedirect follows a few redirects of reads within the same scheme, host and port: to anywhere else the account's password would go along, and an
// action must not be done twice.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || first.Method != http.MethodGet || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host || req.URL.User != nil {
		return errRedirect
	}
	return nil
}

func waitTimer(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// validID tells a provider's id: decimal, so that it can be part of a path.
func validID(id string) bool {
	return len(id) > 0 && len(id) <= 20 && id[0] != '0' && strings.Trim(id, "0123456789") == ""
}
