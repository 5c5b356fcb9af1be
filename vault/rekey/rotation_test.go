package rekey_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// traces lists the collections in which anything is under a data key.
func (h *house) traces(key string) (found []string) {
	h.t.Helper()
	must(h.t, h.disk.View(ctx, func(tx store.Tx) error {
		all, err := h.Book().Collections(tx)
		if err != nil {
			return err
		}
		for _, c := range all {
			n := 0
			if err := tx.Scan(c, "", "", func(_ string, raw []byte) (bool, error) {
				i, body := record.Stamp(raw)
				if c != audit.Records && i.String() == key || bytes.Contains(body, []byte(keyring.Trace(key))) {
					n++
				}
				return true, nil
			}); err != nil {
				return err
			}
			if n > 0 {
				found = append(found, string(c))
			}
		}
		return nil
	}))
	return found
}

// A rotation leaves nothing under the former key, changes no value, and what the former audit key signed stays verifiable.
func TestARotationLeavesNothingUnderTheFormerKey(t *testing.T) {
	h := newHouse(t)
	h.furnish(40)
	before := h.values()
	log, _ := h.Audit()
	former, err := log.PublicKey()
	must(t, err)
	old := h.k.Current()
	if got := h.traces(old); len(got) < 8 {
		t.Fatalf("the test sees the former key in %v only", got)
	}

	stop := h.runs()
	p, err := h.Rotate(ctx, operator, nil)
	must(t, err)
	if !p.Running || p.From != old || p.To != h.k.Current() || p.Total == 0 {
		t.Errorf("%+v", p)
	}
	h.settle()
	stop()
	if got := h.traces(old); len(got) > 0 {
		t.Errorf("the former key is in %v", got)
	}
	if o, err := h.Overview(ctx); err != nil || len(o.Older) != 0 || o.Current.ID == old {
		t.Errorf("%+v %v", o, err)
	}
	h.restart()
	if !maps.Equal(before, h.values()) {
		t.Error("values changed")
	}
	must(t, h.Verify(ctx))
	log, _ = h.Audit()
	rep, err := log.Verify(ctx, h.disk)
	must(t, err)
	if rep.Records == 0 {
		t.Error("no records")
	}
	var export bytes.Buffer
	_, err = log.Export(ctx, h.disk, &export)
	must(t, err)
	if rep, err := audit.VerifyExport(bytes.NewReader(export.Bytes()), former); err != nil || !rep.FormerKey {
		t.Errorf("by the former audit key: %+v %v", rep, err)
	}
	now, err := log.PublicKey()
	must(t, err)
	if rep, err := audit.VerifyExport(bytes.NewReader(export.Bytes()), now); err != nil || rep.FormerKey {
		t.Errorf("by the present audit key: %+v %v", rep, err)
	}
	forged := bytes.Replace(export.Bytes(), []byte(`"next_public_key":"`), []byte(`"next_public_key":"00`), 1)
	if _, err := audit.VerifyExport(bytes.NewReader(forged), former); fault.CodeOf(err) != fault.AuditBroken {
		t.Errorf("a changed handover: %v", err)
	}
}

// What a recipient who was removed has (identity, former header, former file) opens nothing that is written after the rotation.
func TestAttack72_ARemovedRecipientIsLockedOut(t *testing.T) {
	h := newHouse(t)
	leaver, err := age.GenerateHybridIdentity()
	must(t, err)
	slot, err := h.Add(ctx, operator, rekey.NewSlot{Recipient: leaver.Recipient().String(), Label: "leaver"})
	must(t, err)
	h.furnish(10)
	kept, err := keyring.Unlock(h.header(), []age.Identity{leaver})
	must(t, err)
	defer kept.Close()
	_, err = h.Remove(ctx, operator, "leaver", false)
	must(t, err)
	if _, err := keyring.Unlock(h.header(), []age.Identity{leaver}); fault.CodeOf(err) != fault.WrongIdentity {
		t.Fatalf("after its removal %s opens: %v", slot.ID, err)
	}
	stop := h.runs()
	defer stop()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.add("early", "written while it rotates")
	h.settle()
	h.add("late", "written after")
	thief := open.New(kept)
	n := 0
	must(t, h.EachSeal(ctx, func(ref keyring.Ref, sealed string) error {
		n++
		if _, err := thief.Open(ref, sealed); fault.CodeOf(err) != fault.RecordTampered {
			t.Errorf("%+v opens by the former key: %v", ref, err)
		}
		return nil
	}))
	if n < 12 {
		t.Fatalf("%d fields", n)
	}
	if _, err := keyring.Unlock(h.header(), []age.Identity{leaver}); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("after the rotation: %v", err)
	}
	book := record.NewBook(kept)
	if err := book.Verify(ctx, h.disk); err == nil {
		t.Error("records are authentic under the former key")
	}
}

// What was sealed before the new key seals, and is stored after, is sealed again in the transaction that stores it.
func TestAValueOnItsWayIsSealedAgain(t *testing.T) {
	h := newHouse(t)
	old := h.k.Current()
	begun, rotated := make(chan struct{}), make(chan struct{})
	gate := &gated{Store: h.disk, begun: begun, go_: rotated}
	v, err := vault.Open(ctx, vault.Options{Store: gate, Keyring: h.k, Opener: h.opener})
	must(t, err)
	defer func() { must(t, v.Close(ctx)) }()
	done := make(chan error, 1)
	go func() {
		_, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "slow", Secrets: map[string]secret.Secret{"value": secret.FromString("on its way")}})
		done <- err
	}()
	<-begun
	stop := h.runs()
	defer stop()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.settle()
	close(rotated)
	must(t, <-done)
	if got := h.traces(old); len(got) > 0 {
		t.Fatalf("under a key that is gone: %v", got)
	}
	r, err := h.Resource(ctx, "slow")
	must(t, err)
	s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
	if err != nil || string(s.Reveal()) != "on its way" {
		t.Errorf("%v", err)
	}
}

// Fingerprints are made anew, so that a cycle of sync still knows an address; who has the former key learns nothing from those that are kept.
func TestFingerprintsFollowTheKey(t *testing.T) {
	h := newHouse(t)
	h.furnish(1)
	print := func() string {
		rows, _, err := h.ReadServers(ctx, "time4vps")
		must(t, err)
		return rows[0].Prints["ip"]
	}
	was := print()
	stop := h.runs()
	_, err := h.Rotate(ctx, operator, nil)
	must(t, err)
	h.settle()
	stop()
	if is := print(); is == was || is != h.ServerPrint("ip", secret.FromString("203.0.113.9")) {
		t.Errorf("it was %s and is %s", was, is)
	}
	// a cycle that made its print before the switch, and its seal after, brings a row that nothing but the print gives away
	was = print()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	must(t, h.ApplyServers(ctx, "time4vps", func(rows []vault.Server, _ json.RawMessage) (vault.ServerOutcome, error) {
		s := rows[0]
		s.Prints = map[string]string{"ip": was}
		seal := map[string]secret.Secret{"ip": secret.FromString("203.0.113.9")}
		return vault.ServerOutcome{State: json.RawMessage(`{}`), Changes: []vault.ServerChange{{Server: s, Seal: seal}}}, nil
	}))
	if print() != was {
		t.Fatal("the cycle did not bring its print")
	}
	defer h.runs()()
	h.settle()
	if is := print(); is != h.ServerPrint("ip", secret.FromString("203.0.113.9")) {
		t.Errorf("it stays %s", is)
	}
}

// The history tells after a rotation what it told before: sealing anew changes no version.
func TestHistoryStays(t *testing.T) {
	h := newHouse(t)
	h.add("box", "one")
	h.edit("box", "two")
	_, err := h.EditResource(ctx, operator, "box", vault.Edit{Labels: map[string]string{"env": "prod"}})
	must(t, err)
	told := func() string {
		vs, err := h.History(ctx, "box")
		must(t, err)
		var all []string
		for _, v := range vs {
			all = append(all, strings.Join(v.Changed, "+"))
		}
		return strings.Join(all, " ")
	}
	before := told()
	stop := h.runs()
	defer stop()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.settle()
	if after := told(); after != before || before != "labels value " {
		t.Errorf("before %q, after %q", before, after)
	}
	_, err = h.RollbackResource(ctx, operator, "box", 1, "")
	must(t, err)
	r, err := h.Resource(ctx, "box")
	must(t, err)
	s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
	if err != nil || string(s.Reveal()) != "one" {
		t.Errorf("%v", err)
	}
}

// A collection with sealed values that this version does not know of keeps the former key in the header: no value is left under a key that is gone.
func TestUnknownSealedValuesKeepTheFormerKey(t *testing.T) {
	h := newHouse(t)
	ref := keyring.Ref{Type: "future", ID: "x", Field: "f", Version: 1}
	sealed, err := h.k.Seal(ref, secret.FromString("of a later version"))
	must(t, err)
	set := record.NewSet[map[string]string](h.Book(), "futures")
	must(t, h.disk.Update(ctx, func(tx store.Tx) error { return set.Put(tx, "x", map[string]string{"f": sealed}) }))
	stop := h.runs()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	var p rekey.Progress
	for p.Problem == nil {
		p, err = h.Progress(ctx)
		must(t, err)
	}
	stop()
	if !p.Running || p.Problem.Code != fault.Internal || !strings.Contains(p.Problem.Message, "futures") {
		t.Errorf("%+v", p)
	}
	h.restart()
	s, err := h.opener.Open(ref, sealed)
	if err != nil || string(s.Reveal()) != "of a later version" {
		t.Errorf("it is lost: %v", err)
	}
	set = record.NewSet[map[string]string](h.Book(), "futures")
	must(t, h.disk.Update(ctx, func(tx store.Tx) error { return set.Delete(tx, "x") }))
	defer h.runs()()
	h.settle()
}
