package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// cheapWord is a passphrase slot that tests can pay for.
func cheapWord(t *testing.T, word string) (age.Recipient, age.Identity) {
	t.Helper()
	r, err := age.NewScryptRecipient(word)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	i, err := PassphraseIdentity(secret.FromString(word))
	if err != nil {
		t.Fatal(err)
	}
	return r, i
}

// The committed header of format 1 is read, and becomes format 2 with its first change; its slot keeps the name that it was shown by.
func TestAFormerHeaderIsReadAndGrows(t *testing.T) {
	i, err := age.ParseX25519Identity(goldenIdentity)
	if err != nil {
		t.Fatal(err)
	}
	former := golden(t, goldenHeader)
	k, err := Unlock(former, []age.Identity{i})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	slots, err := Slots(former)
	if err != nil || len(slots) != 1 || slots[0].ID == "" || slots[0].ID != k.Slot() || slots[0].AddedAt.IsZero() {
		t.Fatalf("%+v %v, opened by %s", slots, err, k.Slot())
	}
	more := x25519(t)
	next, s, err := k.AddSlot(former, more.Recipient(), "more", time.Now())
	if err != nil || !bytes.HasPrefix(next, []byte(`{"format":2,`)) {
		t.Fatalf("%.40s %v", next, err)
	}
	now, err := Slots(next)
	if err != nil || len(now) != 2 || now[0].ID != slots[0].ID || now[1].ID != s.ID || now[1].Label != "more" {
		t.Fatalf("%+v %v", now, err)
	}
	for _, id := range []age.Identity{i, more} {
		u, err := Unlock(next, []age.Identity{id})
		if err != nil {
			t.Fatal(err)
		}
		if u.Fingerprint("l", []byte("v")) != k.Fingerprint("l", []byte("v")) {
			t.Error("another key")
		}
		u.Close()
	}
}

func TestSlotsComeAndGo(t *testing.T) {
	mine, other, guest := x25519(t), x25519(t), x25519(t)
	k, h, err := Create([]age.Recipient{mine.Recipient(), other.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	h, s, err := k.AddSlot(h, guest.Recipient(), "guest", now)
	if err != nil || !s.AddedAt.Equal(now) {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to    age.Recipient
		label string
		code  fault.Code
	}{
		"the same recipient": {guest.Recipient(), "again", fault.NameTaken}, "the same label": {x25519(t).Recipient(), "guest", fault.NameTaken},
		"another's id": {x25519(t).Recipient(), s.ID, fault.NameTaken}, "a long label": {x25519(t).Recipient(), strings.Repeat("x", 65), fault.InvalidArgument},
		"a label that moves the cursor": {x25519(t).Recipient(), "\x1b[2J", fault.InvalidArgument},
	} {
		if _, _, err := k.AddSlot(h, c.to, c.label, now); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{s.ID, "guest", guest.Recipient().String()} {
		less, gone, err := k.RemoveSlot(h, name)
		if err != nil || gone.ID != s.ID {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := Unlock(less, []age.Identity{guest}); fault.CodeOf(err) != fault.WrongIdentity {
			t.Errorf("%s: removed, and it opens: %v", name, err)
		}
		if _, err := Unlock(less, []age.Identity{mine}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := k.RemoveSlot(h, ""); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("no name: %v", err)
	}
	slots, err := Slots(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slots[1:] {
		if h, _, err = k.RemoveSlot(h, s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := k.RemoveSlot(h, slots[0].ID); fault.CodeOf(err) != fault.NotPermitted {
		t.Errorf("the last one: %v", err)
	}
	_, theirs, err := Create([]age.Recipient{mine.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.AddSlot(theirs, guest.Recipient(), "", now); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("another vault's header: %v", err)
	}
	edited := bytes.Replace(h, []byte(`"type":"X25519"`), []byte(`"type":"X25518"`), 1)
	if _, _, err := k.AddSlot(edited, guest.Recipient(), "", now); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("an edited header: %v", err)
	}
	k.Close()
	if _, _, err := k.AddSlot(h, guest.Recipient(), "", now); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("locked: %v", err)
	}
}

// Both keys of a rotation open by every slot, what is added meanwhile too; at its end the former one is gone.
func TestAHeaderInRotation(t *testing.T) {
	mine, guest := x25519(t), x25519(t)
	word, wordID := cheapWord(t, "correct horse")
	k, h, err := Create([]age.Recipient{mine.Recipient(), word})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	old := k.Current()
	again := func(s Slot) (age.Recipient, error) {
		if s.IsPassphrase() {
			if s.OpensBy(secret.FromString("wrong")) || !s.OpensBy(secret.FromString("correct horse")) {
				t.Error("OpensBy does not tell the passphrase")
			}
			return word, nil
		}
		return ParseRecipient(s.Recipient, nil)
	}
	h, to, err := k.BeginRotation(h, time.Now(), again)
	if err != nil || k.Current() != old {
		t.Fatalf("%v, it seals under %s", err, k.Current())
	}
	if err := k.Adopt(h); err != nil || k.Current() != to {
		t.Fatal(err)
	}
	if _, _, err := k.BeginRotation(h, time.Now(), again); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("a second: %v", err)
	}
	h, _, err = k.AddSlot(h, guest.Recipient(), "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]age.Identity{"mine": mine, "word": wordID, "guest": guest} {
		u, err := Unlock(h, []age.Identity{id})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !u.ring.Has(k.ring.Current()) || u.Current() != to {
			t.Errorf("%s: opens to other keys", name)
		}
		u.Close()
	}
	end, err := k.EndRotation(h)
	if err != nil || bytes.Contains(end, []byte(old)) {
		t.Fatalf("%v", err)
	}
	o, err := Look(end)
	if err != nil || o.Current.ID != to || len(o.Older) != 0 || len(o.Slots) != 3 {
		t.Errorf("%+v %v", o, err)
	}
	k.Drop(to)
	if k.Current() != to {
		t.Error("the current key was dropped")
	}
}

// A header cannot cost who opens it minutes: passphrases are few, their work is bounded, and none hides under another name.
func TestAttack67_AHeaderThatCosts(t *testing.T) {
	mine := x25519(t)
	word, id := cheapWord(t, "correct horse")
	k, h, err := Create([]age.Recipient{mine.Recipient(), word})
	if err != nil {
		t.Fatal(err)
	}
	for range maxScrypt - 1 {
		more, _ := cheapWord(t, "correct horse")
		if h, _, err = k.AddSlot(h, more, "", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := k.AddSlot(h, word, "", time.Now()); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("one passphrase too many: %v", err)
	}
	edit := func(fn func(*Slot)) []byte {
		var e header
		if err := json.Unmarshal(h, &e); err != nil {
			t.Fatal(err)
		}
		fn(&e.Keys[0].Slots[1])
		b, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	file := func(s *Slot, from, to string) {
		raw, err := base64.StdEncoding.DecodeString(s.Wrapped)
		if err != nil || !bytes.Contains(raw, []byte(from)) {
			t.Fatalf("%q is not there: %v", from, err)
		}
		s.Wrapped = base64.StdEncoding.EncodeToString(bytes.Replace(raw, []byte(from), []byte(to), 1))
	}
	for name, fn := range map[string]func(*Slot){
		"much work":           func(s *Slot) { file(s, " 10\n", " 24\n") },
		"work beyond words":   func(s *Slot) { file(s, " 10\n", " 99999999999999999999\n") },
		"work in another way": func(s *Slot) { file(s, " 10\n", " 1e9\n") },
		"another name":        func(s *Slot) { s.Type = "X25519" },
		"hidden behind one":   func(s *Slot) { file(s, "-> scrypt", "-> X25519 aaaa\naaaa\n-> scrypt") },
		"no passphrase":       func(s *Slot) { file(s, "-> scrypt", "-> scrypy") },
	} {
		if _, err := Unlock(edit(fn), []age.Identity{id}); fault.CodeOf(err) != fault.VaultCorrupt {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := parseHeader(edit(fn)); fault.CodeOf(err) != fault.VaultCorrupt && name != "no passphrase" { // which no more than fails
			t.Errorf("%s: it is read before it is refused: %v", name, err)
		}
	}
	var e header
	if err := json.Unmarshal(h, &e); err != nil {
		t.Fatal(err)
	}
	more := e.Keys[0].Slots[1]
	more.ID, more.Label = "00000000", ""
	e.Keys[0].Slots = append(e.Keys[0].Slots, more)
	b, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseHeader(b); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("one passphrase too many is read: %v", err)
	}
}
