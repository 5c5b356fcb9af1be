package keyring

import (
	"bytes"
	"encoding/base64"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// TestAttack70_AKeyOpensNothingButChallenges: who stands at the other end of the socket sends a file of their own for a challenge: a wrapped data key, random bytes as a
// challenge once was, one of another vault. Nothing of any of them is given back; and of a challenge no byte of what it held.
func TestAttack70_AKeyOpensNothingButChallenges(t *testing.T) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ids := []age.Identity{i}
	sealed := func(text string) []byte {
		var b bytes.Buffer
		w, err := age.Encrypt(&b, i.Recipient())
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	raw := string(bytes.Repeat([]byte{7}, challengeSize))
	for name, text := range map[string]string{
		"32 bytes": raw, "nothing": "", "of another vault": challengeMark + "vlt_b" + raw, "a byte less": challengeMark + "vlt_a" + raw[1:], "a byte more": challengeMark + "vlt_a" + raw + "x",
		"the mark at the end": raw + challengeMark + "vlt_a",
	} {
		if got, err := Answer(sealed(text), "vlt_a", ToProve, ids); fault.CodeOf(err) != fault.WrongIdentity || !got.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := Answer(sealed(challengeMark+"vlt_a"+raw), "vlt_a", ToProve, ids)
	if err != nil || bytes.Contains(got.Reveal(), []byte(base64.StdEncoding.EncodeToString([]byte(raw)))) {
		t.Fatalf("%v: what the file held", err)
	}
	p, err := PresenceByKey(ByKeyring, i.Recipient().String(), "", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file, want, err := p.Challenge(nil, "vlt_a", ToProve)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []Purpose{ToProve, ToSet, ToUnlock, ToOffline} {
		got, err := Answer(file, "vlt_a", to, ids)
		if err != nil || Answers(got, want) != (to == ToProve) {
			t.Errorf("%s: %v", to, err)
		}
	}
}
