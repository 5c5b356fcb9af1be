package main

import (
	"context"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// newTime4VPS makes the provider whose login is a resource of the vault, read anew for each request: a rotated password needs no restart.
func newTime4VPS(v *vault.Vault, opener *open.Opener, c home.Time4VPS) (sync.Provider, error) {
	client, err := time4vps.New(time4vps.Options{
		BaseURL: c.BaseURL,
		Credentials: func(ctx context.Context) (string, secret.Secret, error) {
			r, err := v.Resource(ctx, c.Resource)
			if err == nil && (r.Kind != "api_key" || r.Attrs["service"] != time4vps.Name || r.Attrs["username"] == "" || r.Status != vault.Active) {
				err = fault.New(fault.SyncNotConfigured, "the resource named in sync.time4vps is not an active Time4VPS login",
					"add one: `zavhoz resource add api_key "+c.Resource+" --set service=time4vps --set username=YOU@EXAMPLE.ORG --secret key=-`")
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
