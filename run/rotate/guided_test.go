package rotate

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const (
	oldValue = "the-old-canary-value-417"
	newValue = "the-new-canary-value-418"
)

func one(value string) map[string]secret.Secret {
	return map[string]secret.Secret{"value": secret.FromString(value)}
}

func (h *house) addOne() vault.Resource {
	return h.add(vault.NewResource{Kind: "generic", Handle: "one", Attrs: map[string]string{"env": "ONE"}, Secrets: one(oldValue)})
}

func TestAGuidedRotationOverlapsAndForgets(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	state, err := h.r.Start(t.Context(), operator, "one", Request{Secrets: one(newValue)})
	must(t, err)
	if state.Ended != "" || h.value("one", "value") != newValue {
		t.Fatalf("%+v", state)
	}
	for n := range 12 { // more versions than are kept: the old value stays all the same
		_, err := h.Vault.EditResource(t.Context(), operator, "one", vault.Edit{Labels: map[string]string{"n": strings.Repeat("x", n+1)}})
		must(t, err)
	}
	if known := h.known(); !strings.Contains(known, oldValue) || !strings.Contains(known, newValue) {
		t.Error("one of the two is not masked in the overlap")
	}
	_, err = h.Vault.EditResource(t.Context(), operator, "one", vault.Edit{Secrets: one("the-third-canary-value")})
	wantCode(t, err, fault.ResourceBusy)
	_, err = h.Vault.RollbackResource(t.Context(), operator, "one", 1, "")
	wantCode(t, err, fault.ResourceBusy)
	h.pass(guidedOverlap - time.Minute)
	h.r.Due(t.Context())
	if h.rotation("one") == nil {
		t.Fatal("the overlap ended before its time")
	}
	h.pass(2 * time.Minute)
	h.r.Due(t.Context())
	if h.rotation("one") != nil || strings.Contains(h.known(), oldValue) || h.value("one", "value") != newValue {
		t.Error("the old value is still there after the overlap")
	}
	rows, err := h.Vault.History(t.Context(), "one")
	must(t, err)
	if rows[len(rows)-1].Version != 2 {
		t.Errorf("%+v", rows)
	}
	h.wantRecords("rotation.begin allowed made", "rotation.install allowed installed", "rotation.prove allowed proven", "rotation.switch allowed switched", "rotation.retire allowed switched")
}

// wantRecords compares what is on record of rotations.
func (h *house) wantRecords(want ...string) {
	h.t.Helper()
	must(h.t, h.Vault.Noted(context.Background()))
	log, st := h.Vault.Audit()
	var got []string
	must(h.t, st.View(context.Background(), func(tx store.Tx) error {
		all, _, err := log.List(tx, audit.Filter{Limit: 500})
		for _, r := range all {
			if strings.HasPrefix(string(r.Action), "rotation.") {
				got = append([]string{string(r.Action) + " " + string(r.Outcome) + " " + r.Detail["step"]}, got...)
			}
		}
		return err
	}))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		h.t.Errorf("on record is\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAPersonsSlipsAreRefused(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	for name, c := range map[string]struct {
		q    Request
		code fault.Code
	}{
		"the same value":     {Request{Secrets: one(oldValue + "\n")}, fault.SecretInvalid},
		"none":               {Request{}, fault.SecretMissing},
		"no field of it":     {Request{Secrets: map[string]secret.Secret{"No": secret.FromString("x")}}, fault.UnknownField},
		"an attribute":       {Request{Secrets: map[string]secret.Secret{"env": secret.FromString("LD_PRELOAD")}}, fault.UnknownField},
		"too short":          {Request{Generate: 8}, fault.InvalidArgument},
		"a poor alphabet":    {Request{Generate: 32, Alphabet: "0101010101"}, fault.InvalidArgument},
		"a method for other": {Request{Method: "ssh_key"}, fault.NotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.r.Start(t.Context(), operator, "one", c.q)
			wantCode(t, err, c.code)
			if h.rotation("one") != nil || h.resource("one").Version != 1 {
				t.Error("something was changed")
			}
		})
	}
	_, err := h.r.Resume(t.Context(), operator, "one")
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.r.Abort(t.Context(), operator, "one")
	wantCode(t, err, fault.InvalidArgument)
}

// A value that was purged by hand cannot come back; the rotation ends all the same.
func TestAPurgedValueDoesNotComeBack(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	_, err := h.r.Start(t.Context(), operator, "one", Request{Generate: 32})
	must(t, err)
	_, _, err = h.Vault.PurgeVersions(t.Context(), operator, "one", vault.Purge{All: true})
	must(t, err)
	_, err = h.r.Abort(t.Context(), operator, "one")
	wantCode(t, err, fault.UnknownVersion)
	state, err := h.r.Resume(t.Context(), operator, "one")
	must(t, err)
	if state.Ended != "done" || len(h.value("one", "value")) != 32 {
		t.Errorf("%+v", state)
	}
}

// A resource that is removed takes its rotation along.
func TestARemovedResourceLeavesNoRotation(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	_, err := h.r.Start(t.Context(), operator, "one", Request{Secrets: one(newValue)})
	must(t, err)
	_, err = h.Vault.RemoveResource(t.Context(), operator, "one")
	must(t, err)
	all, err := h.Vault.Rotations(t.Context())
	must(t, err)
	if len(all) > 0 || strings.Contains(h.known(), "canary") {
		t.Errorf("%d are left", len(all))
	}
	h.r.Due(t.Context())
	must(t, h.Vault.Verify(t.Context()))
}

// full is a vault whose disk is full from the nth write on.
type full struct {
	store.Store
	left int
}

// Update fails where nothing is left.
func (f *full) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.left--; f.left < 0 {
		return store.ErrFull
	}
	return f.Store.Update(ctx, fn)
}

// Whichever write the full disk comes with, the old or the new value is the resource's, and the rest is done when there is room.
func TestTheDiskIsFull(t *testing.T) {
	for n := range 7 {
		h := newHouse(t)
		h.addOne()
		f := &full{Store: h.Store, left: n}
		v, err := vault.Open(t.Context(), vault.Options{Store: f, Keyring: h.Keyring, Opener: h.Opener})
		must(t, err)
		r := New(Options{Vault: v, Opener: h.Opener})
		none := time.Duration(0)
		state, err := r.Start(t.Context(), operator, "one", Request{Secrets: one(newValue), Overlap: &none})
		if done := err == nil && state.Ended == "done"; done != (n >= 5) {
			t.Fatalf("with room for %d writes: %+v, %v", n, state, err)
		}
		f.left = 100
		must(t, v.Close(t.Context()))
		h.Leave()
		h.enter()
		if now := h.value("one", "value"); now != oldValue && now != newValue {
			t.Fatal("the resource has neither value")
		}
		switch x := h.rotation("one"); {
		case n == 0:
			if x != nil || h.value("one", "value") != oldValue {
				t.Errorf("nothing could be written, and %+v is on record", x)
			}
		case n < 5:
			_, err := h.r.Resume(t.Context(), operator, "one")
			must(t, err)
			fallthrough
		default:
			if h.rotation("one") != nil && h.rotation("one").Step != vault.RotationSwitched || h.value("one", "value") != newValue {
				t.Errorf("with room for %d writes it does not end", n)
			}
		}
	}
}

// Nothing that lies on the disk or is said holds a value.
func TestNothingWrittenHoldsAValue(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	_, err := h.r.Start(t.Context(), operator, "one", Request{Secrets: one(newValue)})
	must(t, err)
	state, err := h.r.Status(t.Context(), "one")
	must(t, err)
	h.Leave()
	defer h.enter()
	b, err := os.ReadFile(h.Path)
	must(t, err)
	for _, value := range []string{oldValue, newValue} {
		if strings.Contains(string(b), value) {
			t.Error("the vault's file holds a value")
		}
	}
	if state.Rotation == nil || !strings.HasPrefix(state.Rotation.Sealed["value"].Value, "zvh1:") {
		t.Errorf("%+v", state.Rotation)
	}
}
