package keyring

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func TestPassphrase(t *testing.T) {
	p, err := HashPassphrase(secret.FromString("correct horse"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil || strings.Contains(string(b), "horse") {
		t.Fatalf("%s %v", b, err)
	}
	var kept Presence
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]bool{"correct horse": true, "correct horse ": false, strings.Repeat("x", MaxPassphrase+1): false} {
		if kept.Check(secret.FromString(word)) != want {
			t.Errorf("%.20q: want %v", word, want)
		}
	}
	for _, short := range []string{"", "seven77", strings.Repeat("x", MaxPassphrase+1)} {
		if _, err := HashPassphrase(secret.FromString(short), time.Now()); fault.CodeOf(err) != fault.SecretInvalid {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

// A record whose parameters we never write (cheaper, or as large as the machine's memory) matches nothing.
func TestPresenceOfOtherParametersMatchesNothing(t *testing.T) {
	word := secret.FromString("correct horse")
	good := Presence{Format: 1, KDF: "argon2id", Time: 1, MemoryKB: 8, Threads: 1, Salt: make([]byte, presenceSalt)}
	good.Hash = good.hash(word)
	if !good.Check(word) {
		t.Fatal("a sound record does not match")
	}
	for name, edit := range map[string]func(*Presence){
		"zero": func(p *Presence) { *p = Presence{} }, "format": func(p *Presence) { p.Format = 2 }, "kdf": func(p *Presence) { p.KDF = "none" },
		"memory": func(p *Presence) { p.MemoryKB = maxMemory + 1 }, "time": func(p *Presence) { p.Time = maxTime + 1 }, "threads": func(p *Presence) { p.Threads = 0 },
		"salt": func(p *Presence) { p.Salt = nil }, "hash": func(p *Presence) { p.Hash = nil }, "cut hash": func(p *Presence) { p.Hash = p.Hash[:8] },
	} {
		bad := good
		edit(&bad)
		if bad.Check(word) {
			t.Errorf("%s: it matches", name)
		}
	}
}

// The golden record pins argon2id and its parameters.
func TestGoldenPresence(t *testing.T) {
	p := Presence{Format: 1, KDF: "argon2id", Time: presenceTime, MemoryKB: presenceMemory, Threads: 1, Salt: []byte("0123456789abcdef"), SetAt: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	p.Hash = p.hash(secret.FromString("correct horse"))
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != goldenPresence {
		t.Errorf("the record is\n%s\nnot\n%s", b, goldenPresence)
	}
}

const goldenPresence = `{"format":1,"kdf":"argon2id","time":3,"memory_kb":65536,"threads":1,"salt":"MDEyMzQ1Njc4OWFiY2RlZg==",` +
	`"hash":"klmcZ/I/HZ3Om28M+1qbGM4RAzbeAHmZR0ckZe3Z5Jo=","set_at":"2026-08-01T12:00:00Z"}`
