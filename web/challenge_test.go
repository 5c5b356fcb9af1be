package web_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// key is a person's key, which proves presence.
type key struct {
	t testing.TB
	i *age.X25519Identity
}

func newKey(t testing.TB) key {
	i, err := age.GenerateX25519Identity()
	must(t, err)
	return key{t, i}
}

// answer opens a challenge, for a proof.
func (k key) answer(file string) string { return k.answerTo(file, keyring.ToProve) }

func (k key) answerTo(file string, to keyring.Purpose) string {
	k.t.Helper()
	b, err := base64.StdEncoding.DecodeString(file)
	must(k.t, err)
	s, err := keyring.Answer(b, "", to, []age.Identity{k.i})
	must(k.t, err)
	return string(s.Reveal())
}

// challenged asks for a challenge.
func (k key) challenged(c *client) string {
	k.t.Helper()
	var ch struct{ By, File string }
	must(k.t, json.Unmarshal([]byte(c.ok("POST", "/presence/challenge", "").body), &ch))
	if ch.By != "keyring" || ch.File == "" {
		k.t.Fatalf("%+v", ch)
	}
	return ch.File
}

// TestAttack70_AKeyProvesPresence: what proves presence may be a key. It must answer before it is taken, and then each proof is a fresh challenge: an answer is good
// once, at the place that asked, and for a while.
func TestAttack70_AKeyProvesPresence(t *testing.T) {
	h := newHouse(t)
	k, other := newKey(t), newKey(t)
	person := h.sit(1)
	person.refused(fault.InvalidArgument, "PUT", "/presence", `{"by":"plugin","recipient":"`+other.i.Recipient().String()+`","identity":"AGE-SECRET-KEY-1"}`)
	set := fmt.Sprintf(`{"by":"keyring","recipient":%q`, k.i.Recipient())
	refused := person.refused(fault.PresenceRequired, "PUT", "/presence", set+"}")
	var p struct{ Details struct{ Challenge string } }
	must(t, json.Unmarshal([]byte(refused.body), &p))
	person.refused(fault.SecretInvalid, "PUT", "/presence", set+`,"answer":"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+`"}`)
	if set, err := h.HasPresence(ctx); set || err != nil {
		t.Fatalf("a key that did not answer was taken: %v", err)
	}
	refused = person.refused(fault.PresenceRequired, "PUT", "/presence", set+"}")
	must(t, json.Unmarshal([]byte(refused.body), &p))
	person.ok("PUT", "/presence", set+`,"answer":"`+k.answerTo(p.Details.Challenge, keyring.ToSet)+`"}`)

	act := func(c *client, code fault.Code) {
		t.Helper()
		c.refused(code, "GET", "/keys/header", "")
	}
	agent := h.sit(2)
	for _, c := range []*client{person, agent} {
		act(c, fault.PresenceRequired)
		c.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+`"}`)
	}

	file := k.challenged(person)
	word := k.answer(file)
	agent.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+word+`"}`) // from another place
	person.ok("POST", "/presence", `{"answer":"`+word+`"}`)
	person.ok("GET", "/keys/header", "")
	act(agent, fault.PresenceRequired)
	h.pass(6 * time.Minute)
	act(person, fault.PresenceRequired)
	person.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+word+`"}`) // again
	late := k.answer(k.challenged(person))
	h.pass(4 * time.Minute)
	person.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+late+`"}`)
	h.pass(time.Minute)
	first := k.answer(k.challenged(person))
	second := k.answer(k.challenged(person))
	person.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+first+`"}`) // a later challenge took its place
	person.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+second+`"}`)
	person.ok("POST", "/presence", `{"answer":"`+k.answer(k.challenged(person))+`"}`)
}

// offered sends a key, and gives the challenge that it is to answer.
func (k key) offered(c *client) (set, file string) {
	k.t.Helper()
	set = fmt.Sprintf(`{"by":"keyring","recipient":%q`, k.i.Recipient())
	var p struct{ Details struct{ Challenge string } }
	must(k.t, json.Unmarshal([]byte(c.refused(fault.PresenceRequired, "PUT", "/presence", set+"}").body), &p))
	return set, p.Details.Challenge
}

// TestAttack70_AChallengeIsForOneKeyAndOnePurpose: before any proof is set an agent asks for a challenge to a key of its own. Its answer proves nothing, neither at once nor
// after the person has set theirs, and sets no other key than the one that was asked.
func TestAttack70_AChallengeIsForOneKeyAndOnePurpose(t *testing.T) {
	h := newHouse(t)
	person, agent := h.sit(1), h.sit(2)
	mine, other, theirs := newKey(t), newKey(t), newKey(t)
	prove := func(c *client, answer string) {
		t.Helper()
		c.refused(fault.PresenceRequired, "POST", "/presence", `{"answer":"`+answer+`"}`)
	}

	_, file := mine.offered(agent)
	prove(agent, mine.answerTo(file, keyring.ToSet))
	prove(agent, mine.answerTo(file, keyring.ToProve))
	_, file = mine.offered(agent)
	swapped, _ := other.offered(person)
	_, otherFile := mine.offered(person)
	person.refused(fault.SecretInvalid, "PUT", "/presence", swapped+`,"answer":"`+mine.answerTo(otherFile, keyring.ToSet)+`"}`) // another key than the first step's

	set, own := theirs.offered(person)
	person.ok("PUT", "/presence", set+`,"answer":"`+theirs.answerTo(own, keyring.ToSet)+`"}`)
	prove(agent, mine.answerTo(file, keyring.ToSet))
	h.pass(2 * time.Minute) // guesses are few a minute
	again := theirs.challenged(agent)
	prove(agent, theirs.answerTo(again, keyring.ToSet)) // got out of a person who meant to set it
	agent.refused(fault.PresenceRequired, "GET", "/keys/header", "")
	agent.ok("POST", "/presence", `{"answer":"`+theirs.answer(theirs.challenged(agent))+`"}`)
}
