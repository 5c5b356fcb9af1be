package vault

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// SyncState is what sync keeps of a provider between cycles; its shape is sync's own.
type SyncState struct {
	Body json.RawMessage `json:"body,omitempty"`
}

// ServerChange is one row that a cycle writes: whole, but for what is not sync's (ResourceID, HealthAt, Intent, Labels and what is sealed, save Seal).
type ServerChange struct {
	Server Server                   // Version is that of the row as read; 0: a new row
	Seal   map[string]secret.Secret // fields to seal anew
}

// ServerOutcome is what a cycle decided.
type ServerOutcome struct {
	Changes []ServerChange
	State   json.RawMessage
	Detail  map[string]string // counts, for the audit record
}

// ReadServers gives a provider's rows and sync state at one instant.
func (v *Vault) ReadServers(ctx context.Context, provider string) (rows []Server, state json.RawMessage, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		rows, state, err = v.providerRows(tx, provider)
		return err
	})
	return rows, state, err
}

func (v *Vault) providerRows(tx store.Tx, provider string) (rows []Server, state json.RawMessage, err error) {
	s, err := v.syncState.Get(tx, provider)
	if err = ignoreNotFound(err); err != nil {
		return nil, nil, err
	}
	err = v.servers.Scan(tx, "", "", func(_ string, r Server) (bool, error) {
		if r.Provider == provider {
			rows = append(rows, r)
		}
		return true, nil
	})
	return rows, s.Body, err
}

// ApplyServers reads the same within one transaction, asks decide, and stores every change, the state and the audit record, or nothing.
func (v *Vault) ApplyServers(ctx context.Context, provider string, decide func([]Server, json.RawMessage) (ServerOutcome, error)) error {
	return v.update(ctx, func(tx store.Tx) error {
		rows, state, err := v.providerRows(tx, provider)
		if err != nil {
			return err
		}
		out, err := decide(rows, state)
		if err != nil {
			return err
		}
		was := make(map[string]Server, len(rows))
		for _, r := range rows {
			was[r.ID] = r
		}
		for _, c := range out.Changes {
			if err := v.applyServer(tx, provider, was, c); err != nil {
				return err
			}
		}
		if err := v.syncState.Put(tx, provider, SyncState{Body: out.State}); err != nil || len(out.Changes) == 0 {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: SystemActor("sync"), Action: audit.ServerSync, Outcome: audit.Allowed, Handle: provider, Detail: out.Detail})
	})
}

// applyServer writes one row, keeping what is not sync's to change.
func (v *Vault) applyServer(tx store.Tx, provider string, was map[string]Server, c ServerChange) error {
	s, old := c.Server, was[c.Server.ID]
	if s.Version != old.Version {
		return fault.New(fault.VersionConflict, "a server's row changed under the cycle", "the next cycle tries again")
	}
	s.Format, s.Provider, s.Version = 1, provider, old.Version+1
	s.ResourceID, s.Sealed = old.ResourceID, map[string]Sealed{}
	if old.ID != "" {
		s.HealthAt, s.Intent, s.Labels = old.HealthAt, old.Intent, old.Labels
	}
	var err error
	for field := range s.Prints { // a field without a print is an address that the provider took back
		fresh, changed := c.Seal[field]
		kept, had := old.Sealed[field]
		switch {
		case changed:
			var text string
			text, err = v.k.Seal(keyring.Ref{Type: "server", ID: s.ID, Field: field, Version: s.Version}, fresh)
			s.Sealed[field] = Sealed{Value: text, Version: s.Version, Class: fresh.LengthClass()}
		case had:
			s.Sealed[field] = kept
		default:
			err = errors.New("vault: a fingerprint without an address")
		}
		if err != nil {
			return err
		}
	}
	if err := v.follow(tx, old, c.Seal); err != nil {
		return err
	}
	return v.servers.Put(tx, s.ID, s)
}

// follow gives an adopted server's resource the address that the provider moved the server to, as a new version, where the resource still has the address
// from before. An address that the operator set by hand stays; so does the pinned host key, and another machine at the new address is refused by it.
func (v *Vault) follow(tx store.Tx, old Server, fresh map[string]secret.Secret) error {
	for _, field := range []string{"ip", "domain"} {
		moved, ok := fresh[field]
		if !ok || old.ResourceID == "" || old.Prints[field] == "" {
			continue
		}
		r, err := v.resources.Get(tx, old.ResourceID)
		if err != nil {
			return ignoreNotFound(err)
		}
		host, err := v.opener.Open(r.FieldRef("host"), r.Sealed["host"].Value)
		if err != nil {
			return err
		}
		same := v.ServerPrint(field, host) == old.Prints[field]
		host.Wipe()
		if !same {
			continue
		}
		sealed, err := v.seal(r.ID, r.Version+1, map[string]secret.Secret{"host": moved})
		if err != nil {
			return err
		}
		next := r
		next.Sealed = maps.Clone(r.Sealed)
		maps.Copy(next.Sealed, sealed)
		return v.keep(tx, SystemActor("sync"), r, &next, "the provider moved it to another address")
	}
	return nil
}

// ServerPrint is the keyed fingerprint of a server's address field: equal for equal values, and of no use without the vault's key.
func (v *Vault) ServerPrint(field string, value secret.Secret) string {
	return serverPrint(v.k, field, value)
}
