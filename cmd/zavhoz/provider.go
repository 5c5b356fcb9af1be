package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// newTime4VPS makes the provider whose login is a resource of the vault, read anew for each request: a rotated password needs no restart.
//
// The login goes only where the resource's own host rules let it, and those are sealed in the vault: config.yaml is not, and who could write it could
// otherwise have the account's password sent to themselves.
func newTime4VPS(v *vault.Vault, opener *open.Opener, c home.Time4VPS) (sync.Provider, error) {
	client, err := time4vps.New(time4vps.Options{
		BaseURL: c.BaseURL,
		Credentials: func(ctx context.Context) (string, secret.Secret, error) {
			r, err := v.Resource(ctx, c.Resource)
			if err == nil && (r.Kind != "api_key" || r.Attrs["service"] != time4vps.Name || r.Attrs["username"] == "" || r.Status != vault.Active) {
				err = fault.New(fault.SyncNotConfigured, "the resource named in sync.time4vps is not an active Time4VPS login",
					"add one: `zavhoz resource add api_key "+c.Resource+" --set service=time4vps --set username=YOU@EXAMPLE.ORG --secret key=-`")
			}
			if err == nil {
				err = mayGo(r, c.BaseURL)
			}
			if err != nil {
				return "", secret.Secret{}, err
			}
			password, err := opener.Open(r.FieldRef("key"), r.Sealed["key"].Value)
			return r.Attrs["username"], password, err
		},
	})
	if err != nil {
		return nil, err
	}
	return time4vps.Provider{Client: client}, nil
}

// mayGo refuses a base URL that the resource's host rules do not cover.
func mayGo(r vault.Resource, base string) error {
	u, err := url.Parse(base)
	if base == "" {
		u, err = url.Parse(time4vps.DefaultBaseURL)
	}
	k, kerr := kind.Get(r.Kind)
	if err := errors.Join(err, kerr); err != nil {
		return err
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if p, err := strconv.Atoi(u.Port()); err == nil {
		port = p
	}
	if policy.MatchRequest(k.Rules(r.Attrs, r.Policy), http.MethodGet, u.Hostname(), port, u.Path+"/server").Allowed {
		return nil
	}
	return fault.New(fault.SyncNotConfigured, "the login's host rules do not cover sync.time4vps.base_url, so it is not sent there",
		"correct base_url, or allow the host: `zavhoz resource policy "+r.Handle+" --host HOST:PORT`")
}
