package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// slots is the real keeper of keys behind the API, as the program wires it.
type slots struct{ *rekey.Keeper }

func (s slots) Overview(ctx context.Context) (k api.Keys, err error) {
	o, err := s.Keeper.Overview(ctx)
	k = api.Keys{VaultID: o.VaultID, Key: o.Current.ID}
	for _, x := range o.Slots {
		k.Slots = append(k.Slots, view(x))
	}
	if o.Rotation.Running {
		k.Rotation = &api.Rotation{From: o.Rotation.From, To: o.Rotation.To}
	}
	return k, err
}

func view(x keyring.Slot) api.Slot {
	return api.Slot{ID: x.ID, Label: x.Label, Type: x.Type, Recipient: x.Recipient}
}

func (s slots) Header(ctx context.Context, a vault.Actor) (api.KeyHeader, error) {
	b, err := s.Keeper.Header(ctx, a)
	return api.KeyHeader{Header: string(b)}, err
}

func (s slots) Add(ctx context.Context, a vault.Actor, in api.NewSlot) (api.Slot, error) {
	x, err := s.Keeper.Add(ctx, a, rekey.NewSlot{Recipient: in.Recipient, Passphrase: in.Passphrase.Secret, Label: in.Label})
	return view(x), err
}

func (s slots) Remove(ctx context.Context, a vault.Actor, name string, force bool) (api.Slot, error) {
	x, err := s.Keeper.Remove(ctx, a, name, force)
	return view(x), err
}

func (s slots) Rotate(ctx context.Context, a vault.Actor, words []secret.Secret) (api.Rotation, error) {
	p, err := s.Keeper.Rotate(ctx, a, words)
	return api.Rotation{From: p.From, To: p.To}, err
}

// The way of a slot through the API: nothing of it tells more than type, recipient and label.
func TestSlotsByTheAPI(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	guest, err := age.GenerateX25519Identity()
	must(t, err)
	text := guest.Recipient().String()
	added := c.ok("POST", "/keys", `{"recipient":"`+text+`","label":"guest/one"}`)
	if added.status != http.StatusCreated || !strings.Contains(added.body, `"recipient":"`+text+`"`) {
		t.Errorf("%d %s", added.status, added.body)
	}
	if list := c.ok("GET", "/keys", "").body; strings.Contains(list, "wrapped") || !strings.Contains(list, text) || !strings.Contains(list, `"label":"guest/one"`) {
		t.Errorf("%s", list)
	}
	if head := c.ok("GET", "/keys/header", "").body; !strings.Contains(head, "wrapped") {
		t.Errorf("%s", head)
	}
	c.refused(fault.NameTaken, "POST", "/keys", `{"recipient":"`+text+`"}`)
	c.refused(fault.SecretInArgv, "POST", "/keys", `{"recipient":"`+guest.String()+`"}`)
	c.refused(fault.InvalidArgument, "POST", "/keys", `{"recipient":"`+canary+`"}`)
	c.refused(fault.InvalidArgument, "POST", "/keys", `{}`)
	c.refused(fault.InvalidArgument, "POST", "/keys", `{"recipient":"`+text+`","passphrase":"`+canary+`"}`)
	c.refused(fault.SecretInvalid, "POST", "/keys", `{"passphrase":"short"}`)
	c.refused(fault.InvalidArgument, "DELETE", "/keys/nobody", "")
	c.ok("DELETE", "/keys/guest%2Fone", "")
	c.refused(fault.NotPermitted, "DELETE", "/keys/"+slotID(c), "")
	c.ok("POST", "/keys", `{"recipient":"`+text+`"}`)
	c.refused(fault.NotPermitted, "DELETE", "/keys/"+slotID(c), "") // the daemon's own
	c.ok("DELETE", "/keys/"+slotID(c)+"?force=true", "")
	if r := c.ok("POST", "/keys/rotate", `{}`); r.status != http.StatusAccepted || !strings.Contains(r.body, `"to":"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	c.refused(fault.ResourceBusy, "POST", "/keys/rotate", `{}`)
	if list := c.ok("GET", "/keys", "").body; !strings.Contains(list, `"rotation":{"from":"`) {
		t.Errorf("%s", list)
	}
}

// slotID is the id of the first slot.
func slotID(c *client) string {
	_, rest, _ := strings.Cut(c.ok("GET", "/keys", "").body, `"slots":[{"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
