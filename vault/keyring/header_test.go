package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

func x25519(t *testing.T) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestEveryRecipientUnlocks(t *testing.T) {
	classic, other := x25519(t), x25519(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	scrypt, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	scrypt.SetWorkFactor(10)
	word, err := age.NewScryptIdentity("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	k, h, err := Create([]age.Recipient{classic.Recipient(), hybrid.Recipient(), scrypt})
	if err != nil {
		t.Fatal(err)
	}
	want := k.Fingerprint("l", []byte("v"))
	for name, ids := range map[string][]age.Identity{"x25519": {classic}, "hybrid": {hybrid}, "scrypt": {word}, "among others": {other, classic}} {
		u, err := Unlock(h, ids)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u.Fingerprint("l", []byte("v")) != want || u.VaultID() != k.VaultID() {
			t.Errorf("%s: another key", name)
		}
		u.Close()
	}
	for name, ids := range map[string][]age.Identity{"another": {other}, "none": nil} {
		if _, err := Unlock(h, ids); fault.CodeOf(err) != fault.WrongIdentity {
			t.Errorf("%s: %v", name, err)
		}
	}
	slots, err := Slots(h)
	if err != nil || len(slots) != 3 || slots[0].Type != "X25519" || slots[1].Type != "mlkem768x25519" || slots[2].Type != "scrypt" {
		t.Errorf("slots %+v %v", slots, err)
	}
	if _, _, err := Create(nil); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("no recipient: %v", err)
	}
}

// Whatever byte of a header is changed or lost, unlocking fails with a clear code: never with another key, never in silence.
func TestEveryByteOfTheHeaderCounts(t *testing.T) {
	mine, theirs := x25519(t), x25519(t)
	_, h, err := Create([]age.Recipient{theirs.Recipient(), mine.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	clear := map[fault.Code]bool{fault.VaultCorrupt: true, fault.VaultFormat: true}
	for i := range h {
		bad := bytes.Clone(h)
		bad[i] ^= []byte{0x20, 0x20, 0x01}[i%3] // 0x20 is the other case of a letter
		if _, err := Unlock(bad, []age.Identity{mine}); !clear[fault.CodeOf(err)] {
			t.Fatalf("byte %d (%q): %v", i, h[max(0, i-10):min(len(h), i+10)], err)
		}
	}
	for n := 0; n < len(h); n += 31 {
		if _, err := Unlock(h[:n], []age.Identity{mine}); !clear[fault.CodeOf(err)] {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	for name, bad := range map[string][]byte{
		"a space more": append(bytes.Clone(h), ' '), "twice": append(bytes.Clone(h), h...), "huge": bytes.Repeat([]byte("a"), MaxHeader+1),
		"an unknown field": bytes.Replace(h, []byte(`"format":2`), []byte(`"format":2,"x":1`), 1),
		"another case":     bytes.Replace(h, []byte(`"keys"`), []byte(`"Keys"`), 1),
	} {
		if _, err := Unlock(bad, []age.Identity{mine}); !clear[fault.CodeOf(err)] {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := bytes.Replace(h, []byte(`"format":2`), []byte(`"format":3`), 1)
	if _, err := Unlock(newer, []age.Identity{mine}); fault.CodeOf(err) != fault.VaultFormat {
		t.Errorf("a newer format: %v", err)
	}
}

// Who writes the database but has no data key adds a recipient, removes one, or puts a slot of another vault in place.
func TestAHeaderEditedWholeIsRefused(t *testing.T) {
	mine, attacker := x25519(t), x25519(t)
	_, h, err := Create([]age.Recipient{mine.Recipient(), x25519(t).Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := Create([]age.Recipient{mine.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	edit := func(fn func(*header)) []byte {
		var e header
		if err := json.Unmarshal(h, &e); err != nil {
			t.Fatal(err)
		}
		fn(&e)
		b, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	slot, err := wrap(make([]byte, keys.KeySize), attacker.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Slots(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"a slot added":        edit(func(e *header) { e.Keys[0].Slots = append(e.Keys[0].Slots, slot) }),
		"a slot removed":      edit(func(e *header) { e.Keys[0].Slots = e.Keys[0].Slots[:1] }),
		"another vault's key": edit(func(e *header) { e.Keys[0].Slots[0] = theirs[0] }),
		"another id":          edit(func(e *header) { e.Keys[0].ID, e.Current = "ffffffffffffffff", "ffffffffffffffff" }),
		"a slot of rubbish":   edit(func(e *header) { e.Keys[0].Slots[0].Wrapped = base64.StdEncoding.EncodeToString([]byte("age")) }),
		"no mac":              edit(func(e *header) { e.MAC = "" }),
	} {
		if _, err := Unlock(bad, []age.Identity{mine}); fault.CodeOf(err) != fault.VaultCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsNameNoKeyMaterial(t *testing.T) {
	mine := x25519(t)
	_, h, err := Create([]age.Recipient{mine.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(h, []byte("wrapped\":\"YWdl"), []byte("wrapped\":\"!!!!"), 1)
	if bytes.Equal(bad, h) {
		t.Fatal("the header has another shape")
	}
	_, err = Unlock(bad, []age.Identity{mine})
	if err == nil || strings.Contains(err.Error(), "!!") || strings.Contains(err.Error(), mine.String()) {
		t.Errorf("%v", err)
	}
}

func FuzzUnlock(f *testing.F) {
	i, err := age.ParseX25519Identity(goldenIdentity)
	if err != nil {
		f.Fatal(err)
	}
	h, err := os.ReadFile(goldenHeader) // one for all of the fuzzer's processes
	if err != nil {
		f.Fatal(err)
	}
	h2, err := os.ReadFile(goldenHeader2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h)
	f.Add(h2)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"vault_id":"","keys":[{"slots":[]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := Unlock(b, []age.Identity{i})
		if err == nil && !bytes.Equal(b, h) && !bytes.Equal(b, h2) {
			t.Error("a header that nobody wrote unlocks")
		}
		if err == nil {
			k.Close()
		}
	})
}
