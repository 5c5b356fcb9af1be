// Package probe asks the service that a value is for whether the value is good, before the vault keeps it.
//
// Promise: a value goes to its own service alone, over verified TLS, once, within the time that the caller gives; nothing of what the service says is kept, shown or
// logged but yes or no. Only the service itself can refuse a value: a proxy, a portal or a fault in between is "could not be asked", and the caller keeps the value, marked so.
//
// Attacks stopped: a value sent to where a redirect or an environment variable points (threat-model.md 65): neither is followed; a reply that exhausts (67): it is
// bounded; an error text that holds the address, and so the value: no error of the transport is passed on.
//
// Limits: who can make the service's name lead elsewhere and holds a certificate for it sees the value, as for every other client of that service.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of one question.
const (
	maxReply = 64 << 10 // bytes
	maxTime  = 5 * time.Second
)

// Options say where services are.
type Options struct {
	Telegram string         // of the Bot API, https://…; "": it is not asked
	Roots    *x509.CertPool // nil: the system's
}

// Prober asks services (vault.Prober).
type Prober struct {
	telegram string
	client   *http.Client
}

// New makes a Prober.
func New(o Options) *Prober {
	tr := &http.Transport{
		Proxy: nil, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
		TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
	}
	return &Prober{telegram: strings.TrimSuffix(o.Telegram, "/"), client: &http.Client{
		Transport: tr, Timeout: maxTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var errAway = fault.New(fault.ProviderUnavailable, "the service could not be asked", "")

// Probe asks the service of a kind about a value. Errors: secret_invalid where the service refuses it; provider_unavailable where it did not say.
func (p *Prober) Probe(ctx context.Context, kind, field string, value secret.Secret) error {
	if kind != "telegram_bot" || field != "token" || p.telegram == "" {
		return errAway
	}
	return p.bot(ctx, value)
}

// bot asks getMe. A token that is none is answered with 401 or 404 in Telegram's own words.
func (p *Prober) bot(ctx context.Context, token secret.Secret) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.telegram+"/bot"+string(token.Reveal())+"/getMe", nil)
	if err != nil {
		return errAway // its text would hold the address
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return errAway
	}
	defer resp.Body.Close()
	var reply struct {
		OK     *bool `json:"ok"`
		Code   int   `json:"error_code"`
		Result struct {
			IsBot bool `json:"is_bot"`
		} `json:"result"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&reply) != nil || reply.OK == nil {
		return errAway
	}
	switch {
	case resp.StatusCode == http.StatusOK && *reply.OK && reply.Result.IsBot:
		return nil
	case !*reply.OK && reply.Code == resp.StatusCode && (reply.Code == http.StatusUnauthorized || reply.Code == http.StatusNotFound):
		return fault.New(fault.SecretInvalid, "Telegram does not know the token", "")
	}
	return errAway
}
