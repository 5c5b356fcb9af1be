package main

import (
	"context"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// keyDoor gives the API the vault's keys.
type keyDoor struct{ k *rekey.Keeper }

// Overview tells who can open the vault.
func (d keyDoor) Overview(ctx context.Context) (api.Keys, error) {
	o, err := d.k.Overview(ctx)
	if err != nil {
		return api.Keys{}, err
	}
	out := api.Keys{VaultID: o.VaultID, Key: o.Current.ID, KeySince: o.Current.CreatedAt, Slots: []api.Slot{}, Warnings: keyWarnings(o.Slots)}
	for _, s := range o.Slots {
		view := slotView(s)
		view.Unlocks = s.ID == o.Unlocked
		out.Slots = append(out.Slots, view)
	}
	if o.Rotation.Running {
		r := rotationView(o.Rotation)
		out.Rotation = &r
	}
	return out, nil
}

// Header gives the header for a check.
func (d keyDoor) Header(ctx context.Context, actor vault.Actor) (api.KeyHeader, error) {
	b, err := d.k.Header(ctx, actor)
	return api.KeyHeader{Header: string(b)}, err
}

// Add wraps for one more recipient.
func (d keyDoor) Add(ctx context.Context, actor vault.Actor, in api.NewSlot) (api.Slot, error) {
	s, err := d.k.Add(ctx, actor, rekey.NewSlot{Recipient: in.Recipient, Passphrase: in.Passphrase.Secret, Label: in.Label})
	return slotView(s), err
}

// Remove takes a slot away.
func (d keyDoor) Remove(ctx context.Context, actor vault.Actor, name string, force bool) (api.Slot, error) {
	s, err := d.k.Remove(ctx, actor, name, force)
	return slotView(s), err
}

// Rotate begins a rotation.
func (d keyDoor) Rotate(ctx context.Context, actor vault.Actor, passphrases []secret.Secret) (api.Rotation, error) {
	p, err := d.k.Rotate(ctx, actor, passphrases)
	return rotationView(p), err
}

func slotView(s keyring.Slot) api.Slot {
	return api.Slot{ID: s.ID, Label: s.Label, Type: s.Type, Recipient: s.Recipient, PostQuantum: s.Withstands(), Since: s.AddedAt}
}

func rotationView(p rekey.Progress) api.Rotation {
	r := api.Rotation{From: p.From, To: p.To, BegunAt: p.BegunAt, Total: p.Total, Done: p.Done}
	if p.Problem != nil {
		r.Code, r.Message, r.Next = string(p.Problem.Code), p.Problem.Message, p.Problem.Next
	}
	return r
}

// keyWarnings says what a person should know of the slots as a whole: the vault is as strong as the weakest of them.
func keyWarnings(slots []keyring.Slot) (out []string) {
	strong := false // a passphrase withstands as well, but nobody chose it for that
	var weak []string
	for _, s := range slots {
		strong = strong || s.PostQuantum
		if !s.Withstands() {
			weak = append(weak, plain(s.Name()))
		}
	}
	if n := len(weak); strong && n > 0 {
		slots, do, them := "the slot ", " does", "it"
		if n > 1 {
			slots, do, them = "the slots ", " do", "them"
		}
		out = append(out, slots+strings.Join(weak, ", ")+do+" not withstand a quantum computer, so the post-quantum ones protect no better: who records the vault today opens it by "+them+
			" one day; where you need that, take "+them+" away (`zavhoz key remove`), then `zavhoz key rotate`")
	}
	if len(slots) == 1 {
		out = append(out, "there is one slot only: with its identity lost, the vault is lost; add a recipient for recovery")
	}
	return out
}
