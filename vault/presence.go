package vault

import (
	"context"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const presenceKey = "presence"

// ID is the vault's own, which its header has.
func (v *Vault) ID() string { return v.k.VaultID() }

// HasPresence tells whether an operator passphrase is set.
func (v *Vault) HasPresence(ctx context.Context) (set bool, err error) {
	p, err := v.Presence(ctx)
	return p.Format != 0, err
}

// SetPresence sets the operator's passphrase, or another. The caller has made sure that a person may.
func (v *Vault) SetPresence(ctx context.Context, actor Actor, pass secret.Secret) error {
	p, err := keyring.HashPassphrase(pass, v.now())
	if err != nil {
		return err
	}
	return v.putPresence(ctx, p, audit.Event{Actor: actor, Action: audit.PresenceSet, Outcome: audit.Allowed})
}

// SetPresenceKey makes a key the proof of presence. The caller has made sure that a person may, and that the key answers.
func (v *Vault) SetPresenceKey(ctx context.Context, actor Actor, by, recipient, identity string, pl keyring.Plugins) error {
	p, err := keyring.PresenceByKey(by, recipient, identity, pl, v.now())
	if err != nil {
		return err
	}
	return v.putPresence(ctx, p, audit.Event{Actor: actor, Action: audit.PresenceSet, Outcome: audit.Allowed, Detail: map[string]string{"by": by}})
}

func (v *Vault) putPresence(ctx context.Context, p keyring.Presence, e audit.Event) error {
	err := v.update(ctx, func(tx store.Tx) error { return v.setPresence(tx, p, e) })
	if err == nil {
		v.trust.presence.Store(true)
	}
	return err
}

func (v *Vault) setPresence(tx store.Tx, p keyring.Presence, e audit.Event) error {
	if err := v.presence.Put(tx, presenceKey, p); err != nil {
		return err
	}
	return v.audit.Append(tx, e)
}

// Presence gives what proves presence; zero: nothing does. Nothing here ever takes it away, so where it was seen once and is gone, somebody else took it: fault record_tampered.
func (v *Vault) Presence(ctx context.Context) (p keyring.Presence, err error) {
	if err := v.Distrusted(); err != nil {
		return p, err
	}
	was := v.trust.presence.Load() // before the moment that is read
	err = v.view(ctx, func(tx store.Tx) (err error) {
		p, err = v.presence.Get(tx, presenceKey)
		return ignoreNotFound(err)
	})
	switch {
	case err != nil:
	case p.Format != 0:
		v.trust.presence.Store(true)
	case was:
		err = v.distrust(fault.New(fault.RecordTampered, "what proves the operator's presence was taken out of the vault", ""))
	}
	return p, err
}

// DenyPresence records a proof that failed, and gives the refusal.
func (v *Vault) DenyPresence(ctx context.Context, actor Actor) error {
	return v.deny(ctx, actor, audit.PresenceCheck, "", "", fault.New(fault.PresenceRequired, "that is not what proves the operator's presence", "try again"))
}

// CheckPresence refuses a passphrase that is not the operator's: presence_required.
func (v *Vault) CheckPresence(ctx context.Context, actor Actor, pass secret.Secret) error {
	p, err := v.Presence(ctx)
	if err != nil {
		return err
	}
	if p.Format == 0 {
		return fault.New(fault.InvalidArgument, "no operator passphrase is set", "set one with `zavhoz presence set`")
	}
	if !p.Check(pass) {
		return v.deny(ctx, actor, audit.PresenceCheck, "", "", fault.New(fault.PresenceRequired, "that is not the operator's passphrase", "try again"))
	}
	return v.Note(ctx, audit.Event{Actor: actor, Action: audit.PresenceCheck, Outcome: audit.Allowed})
}
